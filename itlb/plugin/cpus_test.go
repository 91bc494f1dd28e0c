// SPDX-License-Identifier: GPL-2.0-or-later

package plugin

import (
	"slices"
	"strings"
	"testing"

	"packtest/itlb/trace"
)

// Two CPUs share a thread or have one each.
const (
	oneThread  = "tcg,thread=single"
	twoThreads = "tcg,thread=multi"
)

// smp returns the machine with two CPUs.
func (m machine) smp(accel string) machine {
	m.accel, m.cpus = accel, 2
	return m
}

// refused tells whether a trace of two CPUs is one that this QEMU can't give, and if so
// holds that its file and QEMU say why.
func refused(t *testing.T, m machine, accel, said string, err error, marksOnBoth bool) bool {
	t.Helper()
	why := ""
	switch {
	case m.dir == "" && accel == twoThreads && marksOnBoth:
		why = "marks on vCPUs of several threads, which this QEMU can't bear: -accel tcg,thread=single helps"
	case m.dir != "" && accel == oneThread:
		why = "several vCPUs in one thread, which this QEMU doesn't tell apart: -accel tcg,thread=multi without -icount helps"
	default:
		return false
	}
	if err == nil || !strings.Contains(err.Error(), "the plugin says: "+why) || !strings.Contains(said, why) {
		t.Errorf("the reader says: %v; QEMU said: %q", err, said)
	}
	return true
}

// restart has the second CPU of an s390x begin at "other", in 64-bit mode, when it is
// restarted.
const restart = `
	larl %r1, other
	stg %r1, 0x1a8
	llihl %r1, 1
	oilh %r1, 0x8000
	stg %r1, 0x1a0
	larl %r5, flag
	lghi %r4, 1
`

// twoCPUs is a window in which the first CPU starts the second and waits on its
// page 1 until that has gone back and forth between two pages, ninety-nine times,
// and on to a third, where it stays.
var twoCPUs = map[string]struct {
	program string
	other   uint64 // the second CPU's first page
}{
	"s390x": {restart + `
	mark BEGIN
	goto 1f
	.balign 4096			# page 1
1:	sigp %r2, %r4, 6
2:	ltg %r6, 0(%r5)
	jz 2b
	mark END
	sigp %r2, %r4, 5		# or its loop keeps QEMU
	goto finish
	.balign 4096			# page 2
other:	rounds 99
around:	goto there
back:	next_round
	goto_if_done done
	goto around
	.balign 4096			# page 3
there:	idle
	goto back
	.balign 4096			# page 4
done:	larl %r5, flag
	stg %r5, 0(%r5)
1:	goto 1b
	.balign 4096
flag:	.skip 4096
`, programPage + 2},
	// The second CPU begins in real mode, so its code is moved to where that reaches.
	// Its first message may come too early, thus it is sent until it was heard.
	"x86_64": {`
	movl $0xc0000083, 0x81018	# the local APIC's GiB
	lea other(%rip), %rsi
	mov $0x8000, %edi
	mov $0x3000, %ecx
	rep movsb
	movb $0, 0x7000
	mov $0xfee00000, %ebx
	mark BEGIN
	goto 1f
	.balign 4096			# page 1
1:	movl $0x01000000, 0x310(%rbx)
	movl $0x4500, 0x300(%rbx)
2:	movl $0x01000000, 0x310(%rbx)
	movl $0x4608, 0x300(%rbx)
	cmpb $0, 0x7000
	je 2b
	mark END
	goto finish
	.code16
	.balign 4096
other:	rounds 99
around:	goto there
back:	next_round
	goto_if_done done
	goto around
	.balign 4096
there:	idle
	goto back
	.balign 4096
done:	movb $1, 0x7000
1:	goto 1b
`, 8},
}

// What each CPU fetched is apart, and in its order; where QEMU can't tell them apart
// that is said.
func TestTwoCPUs(t *testing.T) {
	eachMachine(t, func(t *testing.T, m machine) {
		for _, accel := range []string{oneThread, twoThreads} {
			t.Run(accel, func(t *testing.T) {
				guest := twoCPUs[m.arch]
				path, said := m.smp(accel).trace(t, guest.program)
				h, windows, err := read(path)
				if refused(t, m, accel, said, err, false) {
					return
				}
				if err != nil || len(windows) != 1 || h.CPUs != 2 {
					t.Fatalf("%d windows of %d CPUs, %v; QEMU said:\n%s", len(windows), h.CPUs, err, said)
				}
				on := func(page uint64, instructions uint32) trace.Event {
					return trace.Event{CPU: 1, Page: guest.other + page, Instructions: instructions}
				}
				want := [2][]trace.Event{{fetch(0, 1), fetch(1, 0)}, {on(0, 2)}}
				for i := range 99 {
					want[1] = append(want[1], on(1, 2), on(0, 4))
					if i == 98 {
						want[1][len(want[1])-1].Instructions = 2
					}
				}
				want[1] = append(want[1], on(2, 0))
				for cpu, want := range want {
					got := own(windows[0], uint8(cpu))
					if n := len(got); n > 0 && got[n-1].Instructions > 1 {
						got[n-1].Instructions = 0 // how long they wait is chance
					}
					if !slices.Equal(got, want) {
						t.Errorf("CPU %d: %s", cpu, difference(got, want))
					}
				}
			})
		}
	})
}

// A window on either CPU is one, but under QEMU 7.2 if each CPU has a thread. (The second CPU of an x86_64 begins in real mode,
// in which there are no marks.)
func TestMarksOnTwoCPUs(t *testing.T) {
	const program = restart + `
	mark BEGIN
	goto 1f
	.balign 4096			# page 1
1:	mark END
	goto 1f
	.balign 4096			# page 2
1:	sigp %r2, %r4, 6
2:	ltg %r6, 0(%r5)
	jz 2b
	sigp %r2, %r4, 5
	goto finish
	.balign 4096			# page 3
other:	mark BEGIN
	goto 1f
	.balign 4096			# page 4
1:	idle
	mark END
	goto 1f
	.balign 4096			# page 5
1:	larl %r5, flag
	stg %r5, 0(%r5)
1:	goto 1b
	.balign 4096
flag:	.skip 4096
`
	eachMachine(t, func(t *testing.T, m machine) {
		if m.arch != "s390x" {
			t.Skip("s390x only")
		}
		for _, accel := range []string{oneThread, twoThreads} {
			t.Run(accel, func(t *testing.T) {
				path, said := m.smp(accel).trace(t, program)
				_, windows, err := read(path)
				if refused(t, m, accel, said, err, true) {
					return
				}
				if err != nil || len(windows) != 2 {
					t.Fatalf("%d windows, %v; QEMU said:\n%s", len(windows), err, said)
				}
				first, second := own(windows[0], 0), own(windows[1], 1)
				if want := []trace.Event{fetch(0, 1), fetch(1, 1)}; !slices.Equal(first, want) || len(windows[0]) != len(want) {
					t.Errorf("the first CPU: %s", difference(windows[0], want))
				}
				if want := []trace.Event{{CPU: 1, Page: programPage + 3, Instructions: 1}, {CPU: 1, Page: programPage + 4, Instructions: 2}}; !slices.Equal(second, want) {
					t.Errorf("the second CPU: %s", difference(second, want))
				}
			})
		}
	})
}

// own returns the events of one CPU.
func own(all []trace.Event, cpu uint8) []trace.Event {
	return slices.DeleteFunc(slices.Clone(all), func(e trace.Event) bool { return e.CPU != cpu })
}
