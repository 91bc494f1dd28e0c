// SPDX-License-Identifier: GPL-2.0-or-later

package metric

import (
	"math"
	"testing"
)

func TestTolerance(t *testing.T) {
	for text, want := range map[string]struct {
		as              Tolerance
		share, absolute float64
	}{
		"2 %": {"2 %", 0.02, 0}, " 2.50%": {"2.5 %", 0.025, 0}, "4194304": {"4194304", 0, 4194304}, "0": {"0", 0, 0},
		"0.100000": {"0.1", 0, 0.1}, "1e3": {"1000", 0, 1000}, "0 %": {"0 %", 0, 0},
	} {
		var got Tolerance
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want.as || math.Abs(got.Share()-want.share) > 1e-15 || got.Absolute() != want.absolute {
			t.Errorf("%q: %q, %v, share %g, absolute %g", text, got, err, got.Share(), got.Absolute())
		}
	}
	for _, text := range []string{"", "%", "-1", "-2 %", "NaN", "Inf %", "2 % %", "two", "2 MiB"} {
		var got Tolerance
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for %q", text, got)
		}
	}
}

func FuzzTolerance(f *testing.F) {
	for _, s := range []string{"2 %", "4096", "-1", "1e400", "0x10", " 7%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got, again Tolerance
		if got.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(got)); err != nil || again != got {
			t.Errorf("%q is %q, which reads as %q: %v", text, got, again, err)
		}
		if got.Share() < 0 || got.Absolute() < 0 || got.Share() > 0 && got.Absolute() > 0 {
			t.Errorf("%q: share %g, absolute %g", text, got.Share(), got.Absolute())
		}
	})
}
