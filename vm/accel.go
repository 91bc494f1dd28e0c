// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"packtest/internal/cache"
	"packtest/internal/fault"
	"packtest/internal/proc"
)

// Auto lets DetectAccel choose.
const Auto = "auto"

// accelKind is the kind of cache entries that remember what KVM is worth.
const accelKind = "accel"

// DetectAccel returns the accelerator to use for arch, TCG or KVM, and one line
// on why. want is auto, kvm or tcg.
//
// A /dev/kvm that can be opened proves little: on a machine whose KVM is itself
// emulated in part, firmware runs and the kernel then crawls. So what counts is
// that probe boots and its guest says a word in a third of the time that is its
// limit otherwise, so that the boots which follow have some to spare. The answer
// is remembered in c for this processor, host kernel and QEMU; a no is asked again
// if the user insists on kvm, and is then an error. What a busy or full host kept
// from an answer is not remembered.
func DetectAccel(ctx context.Context, c *cache.Cache, want, arch string, probe Machine) (accel, why string, err error) {
	d := detector{cache: c, devKVM: "/dev/kvm", hostArch: hostArch(), identity: identity, boot: bootsUnderKVM}
	return d.detect(ctx, want, arch, probe)
}

// CheckAccel returns the error that DetectAccel would end in, as far as that is
// known before there is a kernel to boot.
func CheckAccel(want, arch string) error {
	d := detector{devKVM: "/dev/kvm", hostArch: hostArch()}
	if want != KVM {
		return nil
	}
	if why := d.refuses(arch); why != "" {
		return noKVM(arch, why)
	}
	return nil
}

// detector is DetectAccel with what a test wants to replace.
type detector struct {
	cache    *cache.Cache
	devKVM   string
	hostArch string
	// identity names the host as far as KVM is concerned.
	identity func(ctx context.Context, arch string) (string, error)
	// boot returns why KVM doesn't work, or "" if it does, and whether the next
	// boot would come to the same.
	boot func(ctx context.Context, probe Machine) (trouble string, sure bool, err error)
}

// kvmAnswer is what is remembered.
type kvmAnswer struct {
	Works bool   `json:"works"`
	Why   string `json:"why"`
	// unsure is set if the host was kept from an answer.
	unsure bool
}

func (d *detector) detect(ctx context.Context, want, arch string, probe Machine) (string, string, error) {
	switch want {
	case TCG:
		return TCG, "asked for", nil
	case KVM, Auto, "":
	default:
		return "", "", fault.Inputf("unknown accelerator %q (auto, kvm, tcg)", want)
	}
	a, err := d.ask(ctx, want == KVM, arch, probe)
	switch {
	case err != nil:
		return "", "", fmt.Errorf("find an accelerator for %s: %w", arch, err)
	case a.Works:
		return KVM, a.Why, nil
	case want == KVM && a.unsure:
		return "", "", fault.Harnessf("whether KVM works for %s here can't be told: %s", arch, a.Why)
	case want == KVM:
		return "", "", noKVM(arch, a.Why)
	}
	return TCG, a.Why, nil
}

// refuses returns why there can be no KVM, or "" where only a boot can tell.
func (d *detector) refuses(arch string) string {
	if arch != d.hostArch {
		return fmt.Sprintf("KVM can't run %s on %s", arch, d.hostArch)
	}
	f, err := os.OpenFile(d.devKVM, os.O_RDWR, 0)
	if err != nil {
		return err.Error()
	}
	f.Close()
	return ""
}

func noKVM(arch, why string) error {
	return fault.WithHint(fault.Inputf("KVM does not work for %s here: %s", arch, why),
		"leave the accelerator to packtest (auto), or ask for tcg")
}

func (d *detector) ask(ctx context.Context, insist bool, arch string, probe Machine) (kvmAnswer, error) {
	if why := d.refuses(arch); why != "" {
		return kvmAnswer{Why: why}, nil
	}
	id, err := d.identity(ctx, arch)
	if err != nil {
		return kvmAnswer{}, err
	}
	key := cache.Key("2", arch, id)
	if a, ok := d.remembered(key); ok && (a.Works || !insist) {
		a.Why += " (remembered)"
		return a, nil
	}
	trouble, sure, err := d.boot(ctx, probe)
	if err == nil && !sure {
		trouble, sure, err = d.boot(ctx, probe)
	}
	if err != nil {
		return kvmAnswer{}, err
	}
	a := kvmAnswer{Works: trouble == "", Why: "a guest booted under KVM", unsure: !sure}
	if !a.Works {
		a.Why = "KVM opens but is of no use: " + trouble
	}
	if !sure {
		return a, nil
	}
	return a, d.remember(key, a)
}

// remembered returns an earlier answer. One that can't be read is asked again.
func (d *detector) remembered(key string) (a kvmAnswer, ok bool) {
	e, err := d.cache.Get(accelKind, key)
	if err != nil {
		return a, false
	}
	b, err := os.ReadFile(e.Path("answer.json"))
	return a, err == nil && json.Unmarshal(b, &a) == nil
}

func (d *detector) remember(key string, a kvmAnswer) error {
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if err := d.cache.Remove(accelKind, key); err != nil {
		return err
	}
	_, err = d.cache.Put(accelKind, key, func(dir string) error {
		return cache.WriteFile(dir+"/answer.json", b, 0o644)
	})
	return err
}

// identity names the processor, the host's kernel and QEMU: if one of them
// changes, KVM may work, or work no more.
func identity(ctx context.Context, arch string) (string, error) {
	cpu, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "", err
	}
	kernel, err := os.ReadFile("/proc/version")
	if err != nil {
		return "", err
	}
	qemu, err := proc.Version(ctx, "qemu-system-"+arch)
	if err != nil {
		return "", err
	}
	var id []string
	for _, l := range strings.Split(string(cpu), "\n") {
		if k, _, ok := strings.Cut(l, ":"); ok {
			switch strings.TrimSpace(k) {
			case "model name", "flags", "microcode":
				id = append(id, l)
			}
		}
		if l == "" {
			break // the first processor is enough
		}
	}
	return strings.Join(append(id, string(kernel), qemu), "\n"), nil
}

// bootsUnderKVM boots probe and waits for its guest's first word.
func bootsUnderKVM(ctx context.Context, probe Machine) (trouble string, sure bool, err error) {
	dir, remove, err := cache.TempDir("", "kvm")
	if err != nil {
		return "", false, err
	}
	defer remove()
	limit := probe.Limits.effective(KVM).Boot / 3
	probe.Accel, probe.Deterministic, probe.Dir = KVM, false, dir
	probe.Limits = Limits{Boot: limit, Silence: limit, Total: 2 * limit,
		LastWords: 100 * time.Millisecond, Settle: time.Millisecond, Grace: 10 * time.Second}
	o, err := Run(ctx, probe, func(ctx context.Context, port io.ReadWriter) error {
		_, err := io.ReadFull(port, make([]byte, 1))
		return err
	})
	switch {
	case ctx.Err() != nil:
		return "", false, context.Cause(ctx)
	case errors.Is(err, errStart):
		// QEMU itself says what it has against this KVM.
		why, _, _ := strings.Cut(err.Error(), "\n")
		return why, !passing(why), nil
	case err != nil:
		return "", false, err
	case o.Ending == Interrupted:
		return "", false, o.Err()
	}
	return verdictOnKVM(o)
}

// passing tells whether QEMU did not start for want of what it may get another day:
// memory, the processor's help that another hypervisor has, or time on a busy host.
func passing(why string) bool {
	return strings.Contains(why, "Cannot allocate memory") || strings.Contains(why, "resource busy") || strings.Contains(why, "did not answer within")
}

// verdictOnKVM is what it says of KVM how the probe's boot ended.
func verdictOnKVM(o *Outcome) (trouble string, sure bool, err error) {
	switch o.Ending {
	case Done, Panic, GuestExit:
		// A kernel that fails by itself got far enough: KVM is of use. What is wrong
		// with the kernel is not asked here.
		return "", true, nil
	}
	return o.Err().Error(), o.Ending.Fault() == fault.Kernel, nil
}
