// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/digitalocean/go-qemu/qmp"
)

// fakeMonitor connects a monitor to a QEMU that answers a command with answer's
// lines, each an event or a reply.
func fakeMonitor(t *testing.T, answer func(command string) []string) *monitor {
	t.Helper()
	m, file, err := dialMonitor()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.close)
	defer file.Close()
	l, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer conn.Close()
		fmt.Fprintln(conn, `{"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""}, "capabilities": []}}`)
		for in := json.NewDecoder(conn); ; {
			var c struct {
				Execute string `json:"execute"`
			}
			if in.Decode(&c) != nil {
				return
			}
			lines := []string{`{"return": {}}`}
			if c.Execute != "qmp_capabilities" {
				lines = answer(c.Execute)
			}
			for _, line := range lines {
				fmt.Fprintln(conn, line)
			}
		}
	}()
	if err := m.connect(t.Context(), func() { conn.Close() }); err != nil {
		t.Fatal(err)
	}
	return m
}

const (
	qmpOK   = `{"return": {}}`
	qmpNo   = `{"error": {"class": "GenericError", "desc": "no"}}`
	qmpStop = `{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}}`
)

// Only a QEMU that does not stop and continue is gone; one that can't say where
// a CPU is, or interrupt it, is not.
func TestProd(t *testing.T) {
	for _, tc := range []struct {
		name    string
		answers map[string][]string // of commands that aren't simply carried out
		lives   bool
		detail  string
		at      string // in the backtraces
	}{
		{"all is told", map[string][]string{"human-monitor-command": {`{"return": "RIP=ffffffff81000010 RFL=00000246 CPL=0 HLT=1"}`}}, true,
			"quiet; the CPUs were at 0xffffffff81000010, 0xffffffff81000010", "CPU 1: waiting for an interrupt"},
		{"no registers", nil, true, "quiet; the CPUs were at a place that can't be read, a place that can't be read", "CPU 1: read the registers: QEMU says"},
		{"no such command", map[string][]string{"human-monitor-command": {qmpNo}, "inject-nmi": {qmpNo}}, true, "quiet; the CPUs were at", "CPU 0: QMP human-monitor-command: no"},
		{"no stop", map[string][]string{"stop": {qmpNo}}, false, "quiet; QEMU doesn't answer either", ""},
		{"no return", map[string][]string{"cont": {qmpNo}}, false, "quiet; QEMU doesn't answer either", ""},
		{"silence", map[string][]string{"human-monitor-command": nil}, false, "quiet; QEMU doesn't answer either", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &running{m: &Machine{Arch: "x86_64", CPUs: 2, Limits: Limits{Grace: 300 * time.Millisecond}}, console: &consoleLog{},
				seen: seen{stop: stopSilence, detail: "quiet", unprovoked: -1}}
			r.mon = fakeMonitor(t, func(command string) []string {
				if a, ok := tc.answers[command]; ok {
					return a
				}
				return []string{qmpOK}
			})
			if lives := r.prod(t.Context()); lives != tc.lives || !strings.HasPrefix(r.seen.detail, tc.detail) || !strings.Contains(r.seen.backtraces, tc.at) {
				t.Errorf("lives: %v, %q\n%s", lives, r.seen.detail, r.seen.backtraces)
			}
			if died := r.seen.stop == stopDied; died == tc.lives {
				t.Errorf("QEMU died: %v", died)
			}
		})
	}
}

// The stop that was asked for is no end; one that follows is QEMU's own.
func TestStopAfterProd(t *testing.T) {
	r := &running{m: &Machine{Arch: "x86_64", CPUs: 1, Limits: Limits{Grace: 10 * time.Second}}, console: &consoleLog{},
		seen: seen{stop: stopSilence, detail: "quiet", unprovoked: -1}}
	r.mon = fakeMonitor(t, func(command string) []string {
		if command == "stop" || command == "inject-nmi" {
			return []string{qmpStop, qmpOK}
		}
		return []string{qmpOK}
	})
	if !r.prod(t.Context()) {
		t.Fatal(r.seen.detail)
	}
	next := func() qmp.Event {
		select {
		case e := <-r.mon.events:
			return e
		case <-time.After(10 * time.Second):
			t.Fatal("no event")
			panic("unreachable")
		}
	}
	if r.seen.event(next()) {
		t.Fatalf("our own stop ended it: %s", r.seen.detail)
	}
	if !r.seen.event(next()) {
		t.Fatal("QEMU's stop did not end it")
	}
	if e, detail := decide(r.seen, &talk{}, nil, "exit code 0"); e != QEMUDied || !strings.Contains(detail, "then QEMU stopped the machine") {
		t.Errorf("%s: %s", e, detail)
	}
}
