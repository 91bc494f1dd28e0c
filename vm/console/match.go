// SPDX-License-Identifier: GPL-2.0-or-later

package console

import (
	"regexp"
	"strings"
)

// header is the line that makes a report out of what follows.
type header struct {
	kind Kind
	// function is the one the line names, if any.
	function string
	// secondary marks a line that comes second in reports of other kinds, and
	// first only where the console lost the first.
	secondary bool
}

// rule recognises a header. A line must hold text before its regular
// expression is tried: nearly all lines hold none.
type rule struct {
	text string
	re   *regexp.Regexp
	kind Kind
	// secondary: see header.
	secondary bool
}

// The rules, in order: the first that matches decides. A group in a regular
// expression is the function. They are anchored so that a process which prints
// a similar line, or the command line as the kernel echoes it, is no report.
var rules = []rule{
	{"Kernel panic - not syncing", regexp.MustCompile(`^Kernel panic - not syncing`), Panic, false},
	{"double fault", regexp.MustCompile(`^(?:traps: )?PANIC: double fault`), Oops, false},

	{"KASAN:", regexp.MustCompile(`^BUG: KASAN: \S+ in ([\w.]+)`), KASAN, false},
	{"KASAN:", regexp.MustCompile(`^BUG: KASAN: `), KASAN, false},
	{"UBSAN:", regexp.MustCompile(`^UBSAN: `), UBSAN, false},
	{"soft lockup", regexp.MustCompile(`^(?:watchdog: )?BUG: soft lockup`), SoftLockup, false},
	{"hard LOCKUP", regexp.MustCompile(`Watchdog detected hard LOCKUP`), HardLockup, false},
	{"stall", regexp.MustCompile(`^(?:rcu: )?INFO: rcu\w* (?:self-)?detected (?:expedited )?stalls? on`), RCUStall, false},
	{"blocked for more than", regexp.MustCompile(`^INFO: task .+ blocked for more than \d+ seconds`), HungTask, false},

	{"BUG: Bad page", regexp.MustCompile(`^BUG: Bad page`), BadPage, false},
	{"BUG: Bad rss-counter", regexp.MustCompile(`^BUG: Bad rss-counter`), BadPage, false},
	{"BUG: sleeping function", regexp.MustCompile(`^BUG: sleeping function called from invalid context`), Lockdep, false},
	{"BUG: scheduling while atomic", regexp.MustCompile(`^BUG: scheduling while atomic`), Lockdep, false},
	{"lock", regexp.MustCompile(`^WARNING: (?:possible (?:circular|recursive|irq lock inversion)|inconsistent lock state|bad unlock balance|held lock freed|lock held|nested lock was not taken)`), Lockdep, false},
	{"RCU", regexp.MustCompile(`^WARNING: suspicious RCU usage`), Lockdep, false},
	{"-safe", regexp.MustCompile(`^WARNING: \w+-safe -> \w+-unsafe lock order`), Lockdep, false},
	{"wait context", regexp.MustCompile(`^\[ BUG: Invalid wait context \]`), Lockdep, false},
	{"non-static key", regexp.MustCompile(`^INFO: trying to register non-static key`), Lockdep, false},

	{"kernel BUG at", regexp.MustCompile(`^kernel BUG at `), Bug, false},
	{"BUG:", regexp.MustCompile(`^BUG: (?:unable to handle|kernel NULL pointer|TASK stack guard page|stack guard page|IRQ stack guard)`), Oops, false},
	{"Unable to handle kernel", regexp.MustCompile(`^Unable to handle kernel `), Oops, false},
	{"general protection fault", regexp.MustCompile(`^general protection fault(?:,| ?:) `), Oops, false},
	{"[#", regexp.MustCompile(`^[A-Za-z][\w -]*: [0-9a-f]{4}(?: ilc:\d)? \[#\d+\]`), Oops, true},
	{"kernel stack overflow", regexp.MustCompile(`(?i)^(?:BUG: )?kernel stack overflow`), Oops, false},
	// A checker that has no room left and gives up.
	{"BUG: MAX_", regexp.MustCompile(`^BUG: MAX_(?:LOCKDEP|STACK)\w* too low`), Lockdep, false},
	{"BUG: workqueue lockup", regexp.MustCompile(`^BUG: workqueue lockup`), SoftLockup, false}, // after 30 s
	{"BUG:", regexp.MustCompile(`^(?:\S+: )?BUG: \S`), Bug, false},
	{"BUG ", regexp.MustCompile(`^BUG \S+ \((?:Not tainted|Tainted: [^)]*)\): `), Bug, false}, // SLUB's

	{"WARNING:", regexp.MustCompile(`^WARNING: (?:CPU: \d+ )?(?:PID: \d+ )?at \S+ ([\w.]+)`), Warning, false},
	// Since v6.19: "WARNING: file:line at function+0x..., CPU#n: name/pid".
	{"WARNING:", regexp.MustCompile(`^WARNING: \S+:\d+ at ([\w.]+)\+0x`), Warning, false},
	{"WARNING:", regexp.MustCompile(`^WARNING: (?:CPU: \d+ )?(?:PID: \d+ )?(?:\S+:\d+ )?at \S+`), Warning, false},
	{"unchecked MSR", regexp.MustCompile(`^unchecked MSR access error: .*\(([\w.]+)\+`), Warning, false},

	{"kmemleak:", regexp.MustCompile(`^kmemleak: \d+ new suspected memory leaks`), Kmemleak, false},
	{"page allocation failure", regexp.MustCompile(`^\S+: page allocation failure`), AllocFail, false},
	{"vmalloc error", regexp.MustCompile(`^\S+: vmalloc error: size`), AllocFail, false},
	{"vmap allocation", regexp.MustCompile(`^vmap allocation for size \d+ failed`), AllocFail, false},
	{"of memory: Killed", regexp.MustCompile(`^(?:Memory cgroup out|Out) of memory: Killed process`), OOM, false},
	{"segfault at", regexp.MustCompile(`^\S+\[\d+\]: segfault at `), Segfault, false},
	{"User process fault", regexp.MustCompile(`^User process fault: `), Segfault, false},
}

func match(l string) (header, bool) {
	for _, r := range rules {
		if !strings.Contains(l, r.text) {
			continue
		}
		if m := r.re.FindStringSubmatch(l); m != nil {
			h := header{kind: r.kind, secondary: r.secondary}
			if len(m) > 1 {
				h.function = m[1]
			}
			return h, true
		}
	}
	return header{}, false
}
