// SPDX-License-Identifier: GPL-2.0-or-later

package plugin

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"packtest/itlb/trace"
)

func fetch(page, instructions int) trace.Event {
	return trace.Event{Kind: trace.Fetch, Page: uint64(programPage + page), Instructions: uint32(instructions)}
}

func flush(k trace.FlushKind) trace.Event {
	return trace.Event{Kind: trace.Flush, Page: uint64(k)}
}

var lap = trace.Event{Kind: trace.Lap}

// expect runs program and compares its windows with what they must hold.
func expect(t *testing.T, m machine, program string, want ...[]trace.Event) {
	t.Helper()
	path, said := m.trace(t, program)
	h, got, err := read(path)
	if err != nil {
		t.Fatalf("%v; QEMU said:\n%s", err, said)
	}
	wantInterface := 1
	if m.dir != "" {
		wantInterface = 4
	}
	build := h.Build
	if len(build) != 16 {
		t.Errorf("build is %q", build)
	}
	if w := (trace.Header{Arch: m.arch, Interface: wantInterface, CPUs: 1, Tag: "tag, text=1", Build: build}); h != w {
		t.Errorf("header is %+v, want %+v", h, w)
	}
	if len(got) != len(want) {
		t.Fatalf("%d windows, want %d", len(got), len(want))
	}
	for i := range want {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("window %d: %s", i+1, difference(got[i], want[i]))
		}
	}
}

// ring is a window of rounds over pages, each left by a jump to the next one.
func ring(pages, rounds int) (program string, events []trace.Event) {
	var b strings.Builder
	fmt.Fprintf(&b, `
	mark BEGIN
	rounds %d
around:	goto page0
back:	next_round
	goto_if_done done
	mark LAP
	goto around
done:	mark END
	goto finish
`, rounds)
	for i := range pages {
		next := fmt.Sprintf("page%d", i+1)
		if i == pages-1 {
			next = "back"
		}
		fmt.Fprintf(&b, "\t.balign 4096\npage%d:\tidle\n\tidle\n\tgoto %s\n", i, next)
	}
	events = append(events, fetch(0, 2))
	for round := range rounds {
		for i := range pages {
			events = append(events, fetch(1+i, 3))
		}
		if round < rounds-1 {
			events = append(events, fetch(0, 3), lap, fetch(0, 2))
		}
	}
	return b.String(), append(events, fetch(0, 3))
}

func TestRing(t *testing.T) {
	eachMachine(t, func(t *testing.T, m machine) {
		program, want := ring(200, 50)
		expect(t, m, program, want)
	})
}

// Many fetches fill many chunks of the file.
func TestLongRing(t *testing.T) {
	eachMachine(t, func(t *testing.T, m machine) {
		program, want := ring(3, 60000)
		expect(t, m, program, want)
	})
}

// A window on one page has one fetch, however long it loops: the blocks on a
// page are chained, and none of their instructions is lost.
func TestOnePage(t *testing.T) {
	eachMachine(t, func(t *testing.T, m machine) {
		expect(t, m, `
	mark BEGIN
	rounds 100000
1:	next_round
	goto_if_done 2f
	goto 1b
2:	mark END
	goto finish
`, []trace.Event{fetch(0, 1+3*99999+2+1)})
	})
}

// An instruction that lies on two pages fetches both, and counts on the first:
// after others, alone, and when it is a jump away from both.
func TestStraddle(t *testing.T) {
	eachMachine(t, func(t *testing.T, m machine) {
		expect(t, m, `
	mark BEGIN
	goto 1f
	.org program - 4096 + 2*4096	# page 1
	.skip 4096 - 2 - 2*(idle_end - idle_begin)
1:	idle
	idle
	long
	idle
	goto 2f
idle_begin: idle
idle_end:
	.balign 4096			# page 3
	.skip 4096 - 2
2:	long
	goto 3f
	.balign 4096			# page 5
	.skip 4096 - 2
3:	goto 4f
	.balign 4096			# page 7
	.balign 4096
	idle
	.balign 4096
4:	mark END
	goto finish
`, []trace.Event{
			fetch(0, 1),
			fetch(1, 3), fetch(2, 2),
			fetch(3, 1), fetch(4, 1),
			fetch(5, 1), fetch(6, 0),
			fetch(8, 1),
		})
	})
}

// Marks stand anywhere in a block: only what is between them counts, and code
// that ran before a window is seen anew in it. A mark may lie on two pages.
func TestWindows(t *testing.T) {
	eachMachine(t, func(t *testing.T, m machine) {
		expect(t, m, `
	rounds 3
again:	idle
	goto far
back:	idle
	mark BEGIN
	idle
	idle
	goto far2
back2:	idle
	mark LAP
	idle
	idle
	mark END
	idle
	idle
	next_round
	goto_if_done finish
	goto again
	.balign 4096
far:	idle
	goto back
far2:	goto 1f
	.balign 4096
	.skip 4096 - 4
1:	mark LAP
	goto back2
`, twice(3, []trace.Event{
			fetch(0, 3), fetch(1, 1), fetch(2, 1), fetch(3, 0), lap, fetch(3, 1), fetch(0, 2), lap, fetch(0, 3),
		})...)
	})
}

func twice(n int, events []trace.Event) (all [][]trace.Event) {
	for range n {
		all = append(all, events)
	}
	return all
}

func TestFlushesX86(t *testing.T) {
	eachMachine(t, func(t *testing.T, m machine) {
		if m.arch != "x86_64" {
			t.Skip("x86_64 only")
		}
		cr3, cr4 := trace.FlushNonGlobal, trace.FlushAll
		if m.dir == "" {
			cr3, cr4 = trace.FlushUnknown, trace.FlushUnknown
		}
		want := []trace.Event{
			fetch(0, 2), flush(cr3), // mov, mov cr3
			fetch(0, 3), flush(cr4), // mov, xor, mov cr4
		}
		if m.dir == "" {
			// mov, mov cr4 with the same value
			want = append(want, fetch(0, 1), flush(trace.FlushUnknown), fetch(0, 1), flush(trace.FlushPage), fetch(0, 1))
		} else {
			want = append(want, fetch(0, 2), flush(trace.FlushPage), fetch(0, 1))
		}
		expect(t, m, `
	invlpg (%rax)
	mark BEGIN
	mov %cr3, %r11
	mov %r11, %cr3
	mov %cr4, %rax
	xor $0x80, %rax
	mov %rax, %cr4
	mov %rax, %cr4
	invlpg (%r11)
	mark END
	invlpg (%r11)
	goto finish
`, want)
	})
}

// A string instruction that repeats itself shows its page when it is gone to from
// another one, however often it does so and wherever it lies. QEMU 7.2 counts each
// element, and once more to see that none is left.
func TestRepeat(t *testing.T) {
	eachMachine(t, func(t *testing.T, m machine) {
		if m.arch != "x86_64" {
			t.Skip("x86_64 only")
		}
		elements := func(n int) int {
			if m.dir == "" {
				return n + 1
			}
			return 1
		}
		want := []trace.Event{fetch(0, 1)}
		for range 3 {
			want[len(want)-1].Instructions += 2
			want = append(want,
				fetch(1, elements(3000)+1),
				fetch(0, 2), fetch(2, elements(2)+1),
				fetch(0, 2), fetch(3, elements(5)), fetch(4, 1), fetch(0, 2))
		}
		want[len(want)-1].Instructions++
		expect(t, m, `
	lea place(%rip), %rdi
	mark BEGIN
	mov $3, %edx
again:	mov $3000, %ecx
	jmp one
back1:	mov $2, %ecx
	jmp two
back2:	mov $5, %ecx
	jmp three
back3:	dec %edx
	jnz again
	mark END
	goto finish
	.balign 4096			# page 1
	.skip 100
one:	rep stosb
	jmp back1
	.balign 4096			# page 2: at its begin
two:	rep stosb
	jmp back2
	.balign 4096			# page 3: its last bytes
	.skip 4096 - 2
three:	rep stosb
	jmp back3
	.balign 4096
place:	.skip 16384
`, want)
	})
}

func TestFlushesS390X(t *testing.T) {
	eachMachine(t, func(t *testing.T, m machine) {
		if m.arch != "s390x" {
			t.Skip("s390x only")
		}
		pages := slices.Repeat([]trace.Event{flush(trace.FlushPage)}, 3)
		if m.dir == "" {
			pages = []trace.Event{flush(trace.FlushUnknown)}
		}
		want := []trace.Event{fetch(0, 1), flush(trace.FlushAll)}
		want = append(want, fetch(0, 3), flush(trace.FlushPage), fetch(0, 2))
		want = append(want, pages...)
		want = append(want,
			fetch(0, 3), flush(trace.FlushSpace), // stctg, lctlg 0 (none), lctlg 1
			fetch(0, 1), flush(trace.FlushSpace), // lctlg 8 to 15
			fetch(0, 1+1+1+1), flush(trace.FlushUnknown), // csp
			fetch(0, 1))
		expect(t, m, `
	ptlb
	mark BEGIN
	ptlb
	larl %r5, table
	lghi %r6, 0
	ipte %r5, %r6
	lghi %r7, 2
	.insn rrf,0xb2210000,%r5,%r6,%r7,0
	stctg %c0, %c15, controls
	lctlg %c0, %c0, controls
	lctlg %c1, %c1, controls + 8
	lctlg %c8, %c15, controls + 64
	lghi %r8, 0
	lghi %r9, 0
	larl %r10, table
	csp %r8, %r10
	mark END
	ptlb
	goto finish
	.set controls, 0x3000
	.balign 4096
table:	.skip 4096
`, want)
	})
}
