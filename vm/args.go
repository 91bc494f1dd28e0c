// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"fmt"
	"strconv"
	"strings"

	"packtest/guest/wire"
)

// The descriptors that QEMU finds open, in the order of proc.Cmd.Files.
const (
	fdMonitor = 3 + iota
	fdConsole
	fdPort
)

// args returns QEMU's arguments. The machines are the smallest on which the
// kernels built by packtest run: microvm, which has neither PCI nor ACPI, and
// s390-ccw-virtio; where there is to be more than one node, q35. QEMU pauses instead of exiting when the guest ends in any
// way, so that there is time to ask what happened.
func (m *Machine) args(interactive bool) []string {
	console := fmt.Sprintf("file,id=console,path=/proc/self/fd/%d", fdConsole)
	if interactive {
		console = fmt.Sprintf("socket,id=console,fd=%d", fdConsole)
	}
	d := m.device()
	args := []string{
		"qemu-system-" + m.Arch,
		"-machine", m.board(),
		"-accel", m.Accel,
		"-cpu", "max",
		"-smp", m.processors(),
		"-m", strconv.Itoa(m.MemoryMiB),
		"-nodefaults", "-no-user-config", "-display", "none",
		"-S", "-no-reboot", "-action", "panic=pause,shutdown=pause",
		"-kernel", m.Kernel,
		"-initrd", m.Initrd,
		"-append", m.CommandLine(),
		"-chardev", fmt.Sprintf("socket,id=monitor,fd=%d,server=on,wait=off", fdMonitor),
		"-mon", "chardev=monitor,mode=control",
		"-chardev", console,
		"-device", d("virtio-serial"),
		"-chardev", fmt.Sprintf("socket,id=port,fd=%d", fdPort),
		"-device", "virtserialport,chardev=port,name=" + wire.PortName,
	}
	if m.Arch == "s390x" {
		args = append(args, "-device", "sclpconsole,chardev=console")
	} else {
		args = append(args, "-serial", "chardev:console")
	}
	if m.Deterministic {
		args = append(args, "-icount", "shift=0,sleep=off", "-seed", "1",
			"-rtc", "base=2024-01-01T00:00:00,clock=vm")
		// Requests to a virtio device are otherwise handed to another thread of
		// QEMU's, and the guest goes on for as many instructions as chance has it
		// before the answer.
		proxy := map[string]string{"x86_64": "virtio-mmio", "s390x": "virtio-serial-ccw"}[m.Arch]
		if m.Nodes > 1 {
			proxy = d("virtio-serial")
		}
		args = append(args, "-global", proxy+".ioeventfd=off")
	} else {
		// It answers when the host comes to it, so a deterministic guest has to
		// do with the processor's own generator, which the seed makes repeat itself.
		args = append(args, "-object", "rng-builtin,id=rng", "-device", d("virtio-rng")+",rng=rng")
	}
	if m.Plugin != "" {
		args = append(args, "-plugin", m.Plugin)
	}
	return append(append(args, m.nodes()...), m.ExtraArgs...)
}

// Setup is all that decides what the guest finds, whatever files it is booted from
// and whichever host it runs on, as one text: what may be kept with what a boot of
// the machine showed, to see whether another would show the same.
func (m Machine) Setup() string {
	m.Kernel, m.Initrd, m.Plugin, m.tscKHz = "", "", "", 0
	return strings.Join(m.args(false), "\x00")
}

// processors is how many there are. The kernel warns of a cache that is shared by
// processors of two nodes, so that each has a socket of its own where there are
// nodes.
func (m *Machine) processors() string {
	if m.Nodes > 1 {
		return fmt.Sprintf("%d,sockets=%d", m.CPUs, m.CPUs)
	}
	return strconv.Itoa(m.CPUs)
}

// nodes divides memory and processors, these by turns, among the nodes.
func (m *Machine) nodes() (args []string) {
	for n := range m.Nodes {
		if m.Nodes == 1 {
			break
		}
		mib := m.MemoryMiB / m.Nodes
		if n == 0 {
			mib += m.MemoryMiB % m.Nodes
		}
		node := fmt.Sprintf("node,nodeid=%d,memdev=mem%d", n, n)
		for cpu := n; cpu < m.CPUs; cpu += m.Nodes {
			node += fmt.Sprintf(",cpus=%d", cpu)
		}
		args = append(args, "-object", fmt.Sprintf("memory-backend-ram,id=mem%d,size=%dM", n, mib), "-numa", node)
	}
	return args
}

func (m *Machine) board() string {
	if m.Arch == "s390x" {
		return "s390-ccw-virtio"
	}
	if m.Nodes > 1 {
		return "q35"
	}
	return "microvm,acpi=off,rtc=on"
}

// device names a virtio device as the machine's bus calls it.
func (m *Machine) device() func(string) string {
	if m.Arch == "s390x" {
		return func(name string) string { return name + "-ccw" }
	}
	if m.Nodes > 1 {
		return func(name string) string { return name + "-pci" }
	}
	return func(name string) string { return name + "-device" }
}

// CommandLine returns the kernel's command line: what the machine needs, then
// Cmdline, so that its words win.
func (m *Machine) CommandLine() string {
	var words []string
	if m.Arch == "s390x" {
		// The driver has 24 KiB. Text that comes faster than it can be sent, from code
		// that keeps interrupts off, is to wait, not to push out what came first: that
		// is the line by which a report is known.
		words = append(words, "console=ttysclp0", "sclp_con_drop=0")
	} else {
		// Without ACPI the machine is reset by a triple fault, and finds its
		// clock's rate on the command line.
		words = append(words, "console=ttyS0", "reboot=t", "tsc=reliable")
		// The kernel sees whether the timer interrupts it by counting a few ticks,
		// and panics if a busy host let them come late.
		words = append(words, "no_timer_check")
		if khz := m.tscKHz; khz > 0 {
			// The same for the delay loop, which the second CPU would otherwise
			// measure for a quarter of the boot. It counts in ticks of 10 ms.
			words = append(words, "tsc_early_khz="+strconv.Itoa(khz), "lpj="+strconv.Itoa(khz*10))
		}
		// A hung guest gets an NMI, and is to say where it was. It takes the NMI
		// for a bus error, since no port here says otherwise.
		words = append(words, "unknown_nmi_panic", "sysctl.kernel.panic_on_unrecovered_nmi=1")
	}
	// After an oops the kernel's word is worth nothing, and it must not wait
	// for somebody to read the screen. A warning ends nothing.
	words = append(words, "oops=panic", "panic=-1", "panic_on_warn=0", "no_hash_pointers")
	if m.Deterministic {
		words = append(words, "nokaslr")
		if m.Arch == "x86_64" {
			// Measuring how fast the APIC's timer runs takes the guest a quarter of
			// a second, and QEMU eight: it counts instructions, and the loop is full
			// of those it must stop at. The PIT's rate is known.
			words = append(words, "nolapic_timer")
		}
	}
	return strings.Join(append(words, m.Cmdline...), " ")
}
