// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"packtest/vm/console"
)

// A guest that floods its console, a hundred megabytes without a newline among
// them, takes neither the disk nor the memory, and what its kernel says last is
// still heard.
func TestFlood(t *testing.T) {
	tape, err := newTape()
	if err != nil {
		t.Fatal(err)
	}
	defer tape.f.Close()
	ended := make(chan struct{})
	tape.ended = ended
	path := filepath.Join(t.TempDir(), "console.log")
	c, err := newConsoleLog(path, 1<<20, &pulse{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	go c.pump(tape)

	write := func(b []byte) {
		t.Helper()
		if _, err := tape.f.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	long := bytes.Repeat([]byte("WARNING: x \x00\xff"), 1<<16)
	lines := []byte(strings.Repeat("[    1.000000] WARNING: it is not the kernel that says this\n", 1<<12))
	for range 50 {
		write(long)
		write(append([]byte("\n"), lines...))
	}
	write([]byte("\n[    2.000000] Kernel panic - not syncing: at last\n"))
	close(ended)
	<-c.done
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	if events := c.events(); len(events) != 1 || events[0].Kind != console.Panic {
		t.Errorf("%d events", len(events))
	}
	if st, err := os.Stat(path); err != nil || st.Size() > 1<<20+200 {
		t.Errorf("%v, %v", st.Size(), err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(tape.f.Fd()), &st); err != nil || st.Size < 50<<20 || st.Blocks*512 > 4<<20 {
		t.Errorf("of %d bytes, %d are held in memory; %v", st.Size, st.Blocks*512, err)
	}
	var mem runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&mem)
	if mem.HeapAlloc > 64<<20 {
		t.Errorf("%d MiB of heap", mem.HeapAlloc>>20)
	}
}
