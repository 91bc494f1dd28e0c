// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestITLBEvents(t *testing.T) {
	for name, tc := range map[string]struct {
		cpu         CPU
		hits, walks string
		excludes    bool
	}{
		"Skylake-SP":      {CPU{Vendor: "GenuineIntel", Family: 6, Model: 0x55}, "r2085", "re85", true},
		"Skylake":         {CPU{Vendor: "GenuineIntel", Family: 6, Model: 0x5e}, "r2085", "re85", true},
		"Ice Lake-SP":     {CPU{Vendor: "GenuineIntel", Family: 6, Model: 0x6a}, "r2085", "re85", true},
		"Sapphire Rapids": {CPU{Vendor: "GenuineIntel", Family: 6, Model: 0x8f}, "r2011", "re11", true},
		"Zen 2":           {CPU{Vendor: "AuthenticAMD", Family: 0x17, Model: 0x31}, "r84", "r785", true},
		"Zen 3":           {CPU{Vendor: "AuthenticAMD", Family: 0x19, Model: 0x01}, "r84", "rf85", true},
		"Zen 5":           {CPU{Vendor: "AuthenticAMD", Family: 0x1a, Model: 0x02}, "r84", "rf85", true},
		"z14":             {CPU{Vendor: "IBM/S390", Machine: "3906"}, "", "r86", false},
		"z16":             {CPU{Vendor: "IBM/S390", Machine: "3931"}, "", "r86", false},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := iTLBEventsOf(tc.cpu)
			if err != nil {
				t.Fatal(err)
			}
			hits := ""
			if e.hits != nil {
				hits = e.hits.String()
			}
			if hits != tc.hits || e.walks.String() != tc.walks || e.excludes != tc.excludes {
				t.Errorf("hits %q, walks %q, leaves out user mode: %v", hits, e.walks, e.excludes)
			}
		})
	}
	for name, cpu := range map[string]CPU{
		"Haswell": {Vendor: "GenuineIntel", Family: 6, Model: 0x3c},
		"Atom":    {Vendor: "GenuineIntel", Family: 6, Model: 0x5c},
		"QEMU":    {Vendor: "GenuineIntel", Family: 15, Model: 0x55},
		"Hygon":   {Vendor: "HygonGenuine", Family: 0x18},
		"K10":     {Vendor: "AuthenticAMD", Family: 0x10},
		"z13":     {Vendor: "IBM/S390", Machine: "2964"},
	} {
		if e, err := iTLBEventsOf(cpu); err == nil || !strings.Contains(err.Error(), cpu.Vendor) {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
}

const (
	cpuinfoX86  = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC 9654\n\nprocessor\t: 1\nvendor_id\t: Other\ncpu family\t: 1\nmodel\t\t: 1\n"
	cpuinfoS390 = "vendor_id       : IBM/S390\n# processors    : 2\nbogomips per cpu: 24038.00\nprocessor 0: version = 00,  identification = 0133E8,  machine = 3931\nprocessor 1: version = 00,  identification = 0133E8,  machine = 8561\n\ncpu number      : 0\nmachine         : 3931\n"
)

func TestParseCPU(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want CPU
	}{
		"x86_64": {cpuinfoX86, CPU{Vendor: "AuthenticAMD", Family: 25, Model: 17}},
		"s390x":  {cpuinfoS390, CPU{Vendor: "IBM/S390", Machine: "3931"}},
	} {
		if got, err := ParseCPU(strings.NewReader(tc.text)); err != nil || got != tc.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, text := range []string{"", "processor : 0\n", "vendor_id : GenuineIntel\ncpu family : six\n", "vendor_id : GenuineIntel\nmodel : -1\n"} {
		if got, err := ParseCPU(strings.NewReader(text)); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func FuzzParseCPU(f *testing.F) {
	f.Add(cpuinfoX86)
	f.Add(cpuinfoS390)
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCPU(strings.NewReader(s))
		if err != nil {
			return
		}
		if c.Vendor == "" || c.Family < 0 || c.Model < 0 || c.String() == "" {
			t.Errorf("%+v", c)
		}
		iTLBEventsOf(c)
	})
}

func TestParseGroup(t *testing.T) {
	raw := func(list ...uint64) []byte {
		var b []byte
		for _, v := range list {
			b = binary.NativeEndian.AppendUint64(b, v)
		}
		return b
	}
	if v, err := parseGroup(raw(3, 500, 500, 1000, 7, 5), 3); err != nil || v[0] != 1000 || v[1] != 7 || v[2] != 5 {
		t.Errorf("%v, %v", v, err)
	}
	for name, tc := range map[string]struct {
		b    []byte
		want string
	}{
		"multiplexed":     {raw(2, 500, 499, 1000, 7), "ran 499 of 500 ns"},
		"never scheduled": {raw(2, 500, 0, 0, 0), "ran 0 of 500 ns"},
		"never enabled":   {raw(2, 0, 0, 0, 0), "never ran"},
		"no instructions": {raw(2, 500, 500, 0, 0), "counted no instruction"},
		"in error":        {nil, "0 bytes"},
		"short":           {raw(2, 500, 500, 1000), "32 bytes"},
		"another group":   {raw(1, 500, 500, 1000, 7), "40 bytes"},
		"long":            {raw(2, 500, 500, 1000, 7, 8), "48 bytes"},
	} {
		if v, err := parseGroup(tc.b, 2); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
}

// What a machine lacks is said precisely.
func TestNoCounters(t *testing.T) {
	const devices = "sys/bus/event_source/devices"
	for name, tc := range map[string]struct {
		arch  string
		files map[string]string
		want  string
	}{
		"no perf":         {"x86_64", map[string]string{"proc/cpuinfo": cpuinfoX86}, "PERF_EVENTS"},
		"unknown CPU":     {"x86_64", map[string]string{"proc/cpuinfo": "vendor_id : HygonGenuine\n", devices + "/cpu/type": "4"}, "no event codes are known for HygonGenuine"},
		"no PMU":          {"x86_64", map[string]string{"proc/cpuinfo": cpuinfoX86, devices + "/software/type": "1"}, "the kernel found no PMU: there is no /sys/bus/event_source/devices/cpu"},
		"no PMU on s390x": {"s390x", map[string]string{"proc/cpuinfo": cpuinfoS390, devices + "/software/type": "1"}, "there is no /sys/bus/event_source/devices/cpum_cf"},
		"no cpuinfo":      {"x86_64", map[string]string{devices + "/cpu/type": "4"}, "which processor"},
		"strange type":    {"x86_64", map[string]string{"proc/cpuinfo": cpuinfoX86, devices + "/cpu/type": "four"}, "type of the PMU: /sys/bus/event_source/devices/cpu"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for path, text := range tc.files {
				path = filepath.Join(root, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			c, err := Kernel{Root: root, Arch: tc.arch}.OpenITLBCounters()
			if err == nil {
				c.Close()
				t.Fatal("counters")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, expected %q", err, tc.want)
			}
		})
	}
}

// The group is opened, started, stopped and read as it will be, on events that
// every kernel has: software ones, which are no PMU's.
func TestGroupOfSoftware(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// A task's clock counts nanoseconds wherever the task is.
	clock := perfEvent{unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_TASK_CLOCK}
	faults := perfEvent{unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_PAGE_FAULTS}
	c := &Counters{events: iTLBEvents{instructions: clock, walks: faults, hits: &faults}}
	for _, e := range c.events.list() {
		if err := c.add(e); err != nil {
			t.Skipf("perf_event_open: %v", err)
		}
	}
	defer c.Close()
	if _, err := c.Read(); err == nil || !strings.Contains(err.Error(), "never ran") {
		t.Errorf("before the start: %v", err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	const pages = 64
	b, err := unix.Mmap(-1, 0, pages*PageBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(b)
	unix.Madvise(b, unix.MADV_NOHUGEPAGE) // one fault a page
	for i := 0; i < len(b); i += PageBytes {
		b[i] = 1
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	first, err := c.Read()
	if err != nil {
		t.Fatal(err)
	}
	if first.Walks < pages || first.Walks != first.Hits || first.Instructions == 0 {
		t.Errorf("%+v after %d page faults", first, pages)
	}
	for i := range 1000 {
		b[i%len(b)]++
	}
	if again, err := c.Read(); err != nil || again != first {
		t.Errorf("after the stop: %+v, %v; before %+v", again, err, first)
	}
}

// On a machine that has counters they count.
func TestCounters(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c, err := Kernel{}.OpenITLBCounters()
	if err != nil {
		t.Skipf("not measured here: %v", err)
	}
	defer c.Close()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		unix.Getpid()
		unix.Getppid()
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	counts, err := c.Read()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", counts)
	if counts.Instructions < 1000 {
		t.Errorf("%d instructions in 1000 system calls", counts.Instructions)
	}
}
