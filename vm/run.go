// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"packtest/internal/cache"
	"packtest/internal/fault"
	"packtest/internal/proc"
)

// running is a started machine.
type running struct {
	m       *Machine
	args    []string
	started time.Time
	stop    context.CancelCauseFunc // ends QEMU by signals
	qemu    *proc.Process
	mon     *monitor
	pulse   *pulse
	console *consoleLog
	tape    *tape    // the console, if it is only read
	conn    net.Conn // the console, if it is interactive
	port    *port
	notes   strings.Builder // for qemu.log
	greeted bool            // the monitor can be talked to
	seen    seen
}

// start starts QEMU and lets the guest run. If screen is not nil the console is
// interactive: what it says also goes to screen, and conn can be written to.
func start(ctx context.Context, m *Machine, screen io.Writer) (_ *running, err error) {
	r := &running{m: m, args: m.args(screen != nil), pulse: &pulse{}, seen: seen{unprovoked: -1}}
	var theirs []*os.File // QEMU's, in the order of fdMonitor, fdConsole, fdPort
	// Whatever fails, nothing stays open. Once QEMU runs, its copies alone keep
	// the sockets open, and its end closes them.
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
		if err != nil {
			r.closeSockets()
		}
	}()
	mon, monFile, err := dialMonitor()
	if err != nil {
		return nil, err
	}
	r.mon = mon
	theirs = append(theirs, monFile)
	if screen == nil {
		if r.tape, err = newTape(); err != nil {
			return nil, err
		}
		theirs = append(theirs, r.tape.f)
	} else {
		conn, file, err := socketPair("console")
		if err != nil {
			return nil, err
		}
		r.conn = conn
		theirs = append(theirs, file)
	}
	portConn, portFile, err := socketPair("port")
	if err != nil {
		return nil, err
	}
	theirs = append(theirs, portFile)
	r.port = newPort(portConn, r.pulse)
	if r.console, err = newConsoleLog(m.consolePath(), m.Limits.ConsoleBytes, r.pulse, screen); err != nil {
		return nil, err
	}

	ctx, r.stop = context.WithCancelCause(ctx)
	r.started = time.Now()
	r.port.start = r.started
	r.qemu, err = proc.Start(ctx, proc.Cmd{Argv: r.args, Files: theirs, Grace: 2 * time.Second})
	if err != nil {
		r.stop(nil)
		return nil, errors.Join(err, r.console.close())
	}
	if r.tape != nil {
		r.tape.ended = r.qemu.Done()
		// The tape is one file, with an offset of ours and one of QEMU's.
		theirs = slices.DeleteFunc(theirs, func(f *os.File) bool { return f == r.tape.f })
		go r.console.pump(r.tape)
	} else {
		go r.console.pump(r.conn)
	}
	for _, f := range theirs {
		f.Close()
	}
	theirs = nil
	if err := r.greet(ctx); err != nil {
		// If QEMU is about to end by itself, what it says is worth waiting for.
		select {
		case <-r.qemu.Done():
		case <-time.After(time.Second):
		}
		r.finish(nil)
		return nil, r.startError(err)
	}
	return r, nil
}

// closeSockets closes our ends.
func (r *running) closeSockets() {
	if r.mon != nil {
		r.mon.close()
	}
	if r.tape != nil {
		r.tape.f.Close()
	}
	if r.conn != nil {
		r.conn.Close()
	}
	if r.port != nil {
		r.port.Close()
	}
}

// greet connects to the monitor and lets the guest run.
func (r *running) greet(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.m.Limits.Grace,
		fmt.Errorf("QEMU did not answer within %v", r.m.Limits.Grace))
	defer cancel()
	kill := func() { r.stop(errors.New("QEMU did not answer")); <-r.qemu.Done() }
	if err := r.mon.connect(ctx, kill); err != nil {
		return err
	}
	r.pulse.beat()
	r.greeted = true
	_, err := r.mon.run(ctx, "cont", nil)
	return err
}

// errStart says that QEMU did not come as far as running the guest.
var errStart = errors.New("start QEMU")

// startError explains why a machine did not start: what QEMU itself said comes
// before what we saw of it.
func (r *running) startError(err error) error {
	res, exit := r.qemu.Wait()
	said := strings.TrimSpace(string(res.Stderr))
	var ee *proc.ExitError
	switch {
	case said != "":
		return fault.Harnessf("%w: %s", errStart, said)
	case errors.As(exit, &ee):
		return fault.Harnessf("%w: %s", errStart, ee.State)
	}
	return fmt.Errorf("%w: %w", errStart, err)
}

// finish ends QEMU, if it still lives, and everything that hung on it. It
// returns when nothing is left but files.
func (r *running) finish(t *talk) {
	if r.greeted {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if _, err := r.mon.run(ctx, "quit", nil); err == nil {
			select {
			case <-r.qemu.Done():
			case <-time.After(r.m.Limits.Grace):
			}
		}
	}
	r.stop(nil)
	res, _ := r.qemu.Wait()
	<-r.console.done
	// QEMU's end closed the port, so the talk ends as soon as it has read what
	// the guest said last.
	t.wait(r.m.Limits.Grace)
	r.closeSockets()
	if err := r.console.close(); err != nil {
		r.console.fail(err)
	}
	r.seen.elapsed, r.seen.cpu = time.Since(r.started), res.CPU
	fmt.Fprintf(&r.notes, "$ %s\n%s", shellWords(r.args), res.Stderr)
	_ = cache.WriteFile(r.m.qemuLogPath(), []byte(r.notes.String()), 0o644)
}

// shellWords renders arguments so that they can be pasted into a shell.
func shellWords(args []string) string {
	var out []string
	for _, a := range args {
		if a == "" || strings.ContainsAny(a, " \t\n'\"\\$&|;<>()*?#~`[]{}!") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		out = append(out, a)
	}
	return strings.Join(out, " ")
}
