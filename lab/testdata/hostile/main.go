// SPDX-License-Identifier: GPL-2.0-or-later

// Command hostile is a PID 1 that doesn't keep to the conversation: how, the
// kernel's command line says after "hostile=".
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"packtest/guest/wire"
	"packtest/metric"
)

func main() {
	must(syscall.Mount("proc", "/proc", "proc", 0, ""))
	must(syscall.Mount("devtmpfs", "/dev", "devtmpfs", 0, ""))
	cmdline, err := os.ReadFile("/proc/cmdline")
	must(err)
	how, program := "", ""
	for _, w := range strings.Fields(string(cmdline)) {
		if v, ok := strings.CutPrefix(w, "hostile="); ok {
			how = v
		}
		if v, ok := strings.CutPrefix(w, "program="); ok {
			program = v
		}
	}
	port := openPort()
	g := guest{port: port, w: wire.NewWriter(port), hello: wire.Message{Type: wire.TypeHello,
		Hello: &wire.Hello{Program: program, Arch: "s390x", Release: "6.1"}}}
	g.be(how)
	time.Sleep(time.Hour)
}

type guest struct {
	port  *os.File
	w     *wire.Writer
	hello wire.Message
}

func (g guest) be(how string) {
	sample := metric.New("jit_pages", nil, 3)
	backwards := metric.New("load_time_per_program", nil, -5)
	begin := wire.Message{Type: wire.TypeBegin, Scenario: "load"}
	value := wire.Message{Type: wire.TypeSample, Scenario: "load", Sample: &sample}
	end := wire.Message{Type: wire.TypeEnd, Scenario: "load", End: &wire.End{}}
	done := wire.Message{Type: wire.TypeDone, Done: &wire.Done{Scenarios: 1}}
	switch how {
	case "silent":
		return
	case "garbage":
		g.raw([]byte("\x00\xff\x1b[2J garbage\n"))
		return
	}
	g.say(g.hello)
	_, err := wire.NewReader(g.port).Read()
	must(err)
	switch how {
	case "well":
		g.say(begin, value, end, done)
	case "mute": // never a word after it has its job
	case "half":
		g.say(begin, value)
		f := framed(end)
		g.raw(f[:len(f)/2])
	case "twice":
		g.say(begin, value, end, done, done)
	case "results-twice":
		g.say(begin, value, end, begin, value, end, done)
	case "replay": // the very same frame again
		f := framed(begin)
		g.say(begin)
		g.raw(f)
	case "miscount":
		done.Done.Findings = 2
		g.say(begin, value, end, done)
	case "other":
		begin.Scenario, end.Scenario = "drain", "drain"
		g.say(begin, end, done)
	case "backwards":
		value.Sample = &backwards
		g.say(begin, value, end, done)
	case "console":
		g.say(begin)
		for line := strings.Repeat("WARNING: not the kernel ", 40) + "\n"; ; {
			fmt.Print(line)
		}
	default:
		panic("how: " + how)
	}
}

func (g guest) say(list ...wire.Message) {
	for _, m := range list {
		must(g.w.Write(m))
	}
}

func (g guest) raw(b []byte) {
	_, err := g.port.Write(b)
	must(err)
}

func framed(m wire.Message) []byte {
	var b bytes.Buffer
	must(wire.NewWriter(&b).Write(m))
	return b.Bytes()
}

// openPort opens the one virtio port there is, once the driver has heard of it.
func openPort() *os.File {
	for {
		names, err := filepath.Glob("/dev/vport*")
		must(err)
		if len(names) > 0 {
			f, err := os.OpenFile(names[0], os.O_RDWR, 0)
			must(err)
			return f
		}
		time.Sleep(time.Millisecond)
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
