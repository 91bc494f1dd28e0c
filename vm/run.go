// SPDX-License-Identifier: GPL-2.0-or-later

package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
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
	conn    net.Conn // our end of the console
	port    *port
	notes   strings.Builder // for qemu.log
	greeted bool            // the monitor can be talked to
	seen    seen
}

// start starts QEMU and lets the guest run. What the console says also goes to
// also, if that is not nil.
func start(ctx context.Context, m *Machine, also io.Writer) (_ *running, err error) {
	r := &running{m: m, args: m.args(), pulse: &pulse{}}
	mon, monFile, err := dialMonitor()
	if err != nil {
		return nil, err
	}
	defer monFile.Close()
	r.mon = mon
	var conFile, portFile *os.File
	if r.conn, conFile, err = socketPair("console"); err != nil {
		mon.close()
		return nil, err
	}
	defer conFile.Close()
	portConn, portFile, err := socketPair("port")
	if err != nil {
		mon.close()
		r.conn.Close()
		return nil, err
	}
	defer portFile.Close()
	if r.console, err = newConsoleLog(m.consolePath(), m.Limits.ConsoleBytes, r.pulse); err != nil {
		mon.close()
		r.conn.Close()
		portConn.Close()
		return nil, err
	}
	r.console.also = also

	ctx, r.stop = context.WithCancelCause(ctx)
	r.started = time.Now()
	r.port = newPort(portConn, r.pulse, r.started)
	r.qemu, err = proc.Start(ctx, proc.Cmd{
		Argv:  r.args,
		Files: []*os.File{monFile, conFile, portFile},
		Grace: 2 * time.Second,
	})
	if err != nil {
		r.stop(nil)
		mon.close()
		r.conn.Close()
		portConn.Close()
		return nil, errors.Join(err, r.console.close())
	}
	// From here on QEMU's copies alone keep the sockets open, and its end
	// closes them.
	monFile.Close()
	conFile.Close()
	portFile.Close()
	go r.console.pump(r.conn)
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
	r.mon.close()
	r.conn.Close()
	// QEMU's end closed the port, so the talk ends as soon as it has read what
	// the guest said last.
	t.wait(r.m.Limits.Grace)
	r.port.Close()
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
