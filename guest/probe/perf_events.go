// SPDX-License-Identifier: GPL-2.0-or-later

package probe

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// CPU is which processor this is, as far as its performance counters depend on
// it. x86_64 has a family and a model, s390x a machine.
type CPU struct {
	Vendor        string
	Family, Model int
	Machine       string // "3931"
}

// CPU reads /proc/cpuinfo. A machine's processors are taken to be alike.
func (k Kernel) CPU() (CPU, error) { return read(k, "/proc/cpuinfo", ParseCPU) }

// ParseCPU parses the first processor in /proc/cpuinfo.
func ParseCPU(r io.Reader) (CPU, error) {
	var c CPU
	number := func(s string) (int, error) {
		n, err := strconv.ParseUint(s, 10, 16)
		return int(n), err
	}
	seen := map[string]bool{}
	s := bufio.NewScanner(r)
	for s.Scan() {
		name, value, _ := strings.Cut(s.Text(), ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if name != "" && seen[name] {
			continue // the next processor
		}
		seen[name] = true
		var err error
		switch name {
		case "vendor_id":
			c.Vendor = value
		case "cpu family":
			c.Family, err = number(value)
		case "model":
			c.Model, err = number(value)
		case "processor 0": // version = 00,  identification = 0A1B2C,  machine = 3931
			_, c.Machine, _ = strings.Cut(value, "machine = ")
		}
		if err != nil {
			return CPU{}, lineError(s.Text())
		}
	}
	if err := s.Err(); err != nil {
		return CPU{}, err
	}
	if c.Vendor == "" {
		return CPU{}, fmt.Errorf("no vendor_id")
	}
	return c, nil
}

func (c CPU) String() string {
	if c.Vendor == vendorIBM {
		return fmt.Sprintf("%s machine %q", c.Vendor, c.Machine)
	}
	return fmt.Sprintf("%s family %#x model %#x", c.Vendor, c.Family, c.Model)
}

const (
	vendorIntel = "GenuineIntel"
	vendorAMD   = "AuthenticAMD"
	vendorIBM   = "IBM/S390"
)

// iTLBEvents is what a processor can count of its instruction TLB.
type iTLBEvents struct {
	instructions perfEvent
	// hits are misses of the first level that the second served; nil if the
	// processor doesn't count them.
	hits *perfEvent
	// walks for instruction fetches that came to their end.
	walks perfEvent
	// excludes: user mode can be left out.
	excludes bool
}

// corePMU is the PMU's name in /sys/bus/event_source/devices. Hybrid processors
// have others.
func corePMU(arch string) string {
	if arch == "s390x" {
		return "cpum_cf"
	}
	return "cpu"
}

// perfEvent is the type and config of perf_event_open(2); a type of 0xffffffff
// stands for the PMU's own.
type perfEvent struct {
	kind   uint32
	config uint64
}

const pmuType = ^uint32(0)

// String returns the event as perf's -e takes it, raw.
func (e perfEvent) String() string { return fmt.Sprintf("r%x", e.config) }

// iTLBEventsOf chooses the events of a processor. Codes and models are those of
// the vendors' lists that the kernel carries in tools/perf/pmu-events:
//
//   - Intel: ITLB_MISSES.STLB_HIT and WALK_COMPLETED (every size), event 0x85
//     from Skylake to Tiger Lake, 0x11 in Sapphire and Emerald Rapids. Hybrid
//     processors have a PMU for each kind of core, and are left out.
//   - AMD: bp_l1_tlb_miss_l2_tlb_hit and ..._miss, masks of every page size; from
//     Zen 3 coalesced pages have a mask of their own.
//   - IBM: from z14 on ITLB2_WRITES, an entry that an instruction fetch brought
//     into the second level, which is a completed walk. What the second level
//     serves isn't counted; and counters can't leave user mode out.
func iTLBEventsOf(c CPU) (iTLBEvents, error) {
	raw := func(event, mask uint64) perfEvent { return perfEvent{unix.PERF_TYPE_RAW, mask<<8 | event} }
	x86 := func(hits, walks perfEvent) (iTLBEvents, error) {
		return iTLBEvents{instructions: perfEvent{unix.PERF_TYPE_HARDWARE, unix.PERF_COUNT_HW_INSTRUCTIONS},
			hits: &hits, walks: walks, excludes: true}, nil
	}
	switch {
	case c.Vendor == vendorIntel && c.Family == 6 && slices.Contains(skylakeToIceLake(), c.Model):
		return x86(raw(0x85, 0x20), raw(0x85, 0x0e))
	case c.Vendor == vendorIntel && c.Family == 6 && (c.Model == 0x8f || c.Model == 0xcf):
		return x86(raw(0x11, 0x20), raw(0x11, 0x0e))
	case c.Vendor == vendorAMD && c.Family == 0x17:
		return x86(raw(0x84, 0), raw(0x85, 0x07))
	case c.Vendor == vendorAMD && (c.Family == 0x19 || c.Family == 0x1a):
		return x86(raw(0x84, 0), raw(0x85, 0x0f))
	case c.Vendor == vendorIBM && slices.Contains(z14ToZ16(), c.Machine):
		return iTLBEvents{instructions: perfEvent{pmuType, 1}, walks: perfEvent{pmuType, 0x86}}, nil
	}
	return iTLBEvents{}, fmt.Errorf("no event codes are known for %s", c)
}

// skylakeToIceLake returns family 6's models from Skylake to Tiger Lake.
func skylakeToIceLake() []int {
	return []int{
		0x4e, 0x5e, 0x55, 0x8e, 0x9e, 0xa5, 0xa6, // Skylake, Cascade Lake, Kaby Lake, Comet Lake
		0x6a, 0x6c, 0x7d, 0x7e, 0xa7, // Ice Lake, Rocket Lake
		0x8c, 0x8d, // Tiger Lake
	}
}

func z14ToZ16() []string { return []string{"3906", "3907", "8561", "8562", "3931", "3932"} }
