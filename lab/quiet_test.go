// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLastLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "console.log")
	if got := lastLine(path); got != "" {
		t.Errorf("of no file: %q", got)
	}
	for text, want := range map[string]string{
		"":                                  "",
		"\n\r\n":                            "",
		"one\r\n[ 1.0] two\r\n\r\n":         "[ 1.0] two",
		"one\nhalf a li":                    "half a li",
		"\x1b[31mred\x07\n":                 "[31mred",
		strings.Repeat("x", 9000) + "\nend": "end",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := lastLine(path); got != want {
			t.Errorf("%.20q: %q, want %q", text, got, want)
		}
	}
}

// A guest that says nothing has its console told, each line once; one that
// speaks has not.
func TestConsoleIsToldOfAQuietGuest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "console.log")
	write := func(s string) {
		if err := os.WriteFile(path, []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r, _ := testRun(t, openCache(t))
	synctest.Test(t, func(t *testing.T) {
		var told []string
		r.Events = func(e Event) {
			if !e.Console || e.Boot != 1 {
				t.Errorf("event %+v", e)
			}
			told = append(told, e.Text)
		}
		stop := r.listen()
		w := r.watchConsole(testBoot(false), path)
		// What is done here falls between two looks, never on one.
		time.Sleep(quietAfter / 2)
		write("booting\n")
		time.Sleep(3 * quietAfter)
		write("booting\nhalf way\n")
		time.Sleep(quietAfter)
		for range 20 {
			w.beat()
			time.Sleep(quietAfter / 5)
		}
		write("booting\nhalf way\nstuck\n")
		time.Sleep(3 * quietAfter)
		w.stop()
		stop()
		if got := strings.Join(told, "|"); got != "booting|half way|stuck" {
			t.Errorf("told %q", got)
		}
	})
}
