// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import "time"

// Limits are how long things may take on a machine with hardware help. Under
// TCG all but Grace are multiplied by Slowdown. A zero field has its default.
type Limits struct {
	// Boot is from the start to the guest's first word. Default 6 s.
	Boot time.Duration
	// Silence is how long a guest may give no sign of life, neither on the
	// console nor by a message. It must be longer than the kernel's own
	// limits for lockups, or those never speak. Default 15 s.
	Silence time.Duration
	// Total is from the start to done. Default 120 s.
	Total time.Duration
	// Settle is how long after done an oops is still waited for, unless the
	// guest switches itself off before. Default 50 ms.
	Settle time.Duration
	// LastWords is how long a kernel in trouble may go on printing before it
	// is ended. Default 0.5 s.
	LastWords time.Duration
	// Grace is how long QEMU has to start or to end; never multiplied.
	// Default 30 s.
	Grace time.Duration
	// Starved is how many times one of the others may pass on the host's clock
	// before it is the host's failure that the guest did not use it up. Default 10.
	Starved int
	// Slowdown is how much slower TCG is taken to be. Default 10.
	Slowdown float64
	// ConsoleBytes is how much console is kept. Default 64 MiB.
	ConsoleBytes int64
}

// effective fills in the defaults and applies the slowdown.
func (l Limits) effective(accel string) Limits {
	duration := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	duration(&l.Boot, 6*time.Second)
	duration(&l.Silence, 15*time.Second)
	duration(&l.Total, 120*time.Second)
	duration(&l.Settle, 50*time.Millisecond)
	duration(&l.LastWords, 500*time.Millisecond)
	duration(&l.Grace, 30*time.Second)
	if l.Starved == 0 {
		l.Starved = 10
	}
	if l.Slowdown == 0 {
		l.Slowdown = 10
	}
	if l.ConsoleBytes == 0 {
		l.ConsoleBytes = 64 << 20
	}
	if accel == TCG {
		for _, d := range []*time.Duration{&l.Boot, &l.Silence, &l.Total, &l.Settle, &l.LastWords} {
			*d = time.Duration(float64(*d) * l.Slowdown)
		}
	}
	return l
}
