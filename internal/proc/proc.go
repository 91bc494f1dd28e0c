// SPDX-License-Identifier: GPL-2.0-or-later

// Package proc starts every subprocess of packtest: in a process group of its
// own, without a shell, with its output captured or streamed line by line, and
// ended by SIGINT, then SIGTERM, then SIGKILL when the context is done. What
// the output means is the caller's business.
package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Cmd describes one subprocess. Only Argv is needed.
type Cmd struct {
	Argv []string
	Dir  string
	// Env is added to a minimal environment (PATH, HOME, TMPDIR and the proxy
	// variables) with LC_ALL=C.
	Env []string
	// Stdin is what the process reads; nil is /dev/null.
	Stdin io.Reader
	// Line, if set, gets every line of standard output and standard error as
	// it comes, without its newline. It is called from one goroutine at a time.
	Line func(line string)
	// Stdout, if set, gets standard output instead of Result.Stdout.
	Stdout io.Writer
	// Merge sends standard error where standard output goes, in the order in
	// which the process wrote to either; Result.Stderr stays empty.
	Merge bool
	// Files are passed as descriptors 3, 4, ...; the caller closes its copies.
	Files []*os.File
	// Orphaned is the signal that the process gets if packtest is killed; zero is
	// SIGKILL. Only the process itself gets it: one that starts others, such as
	// make, is to be asked by SIGTERM, which it passes on.
	Orphaned syscall.Signal
	// Grace is how long the process has after SIGINT before SIGTERM, and again
	// before SIGKILL; zero means 5 seconds.
	Grace time.Duration
}

// Result is what a finished process left behind.
type Result struct {
	Stdout, Stderr []byte
	// Code is the exit code, or -1 if a signal ended the process.
	Code     int
	Elapsed  time.Duration
	CPU      time.Duration
	Signaled bool
}

// ExitError says that a process ended unsuccessfully.
type ExitError struct {
	Argv   []string
	Result *Result
	State  string
}

// Error names the command and shows the last lines it wrote to standard error.
func (e *ExitError) Error() string {
	tail := lastLines(e.Result.Stderr, 8)
	if tail == "" {
		tail = lastLines(e.Result.Stdout, 8)
	}
	if tail != "" {
		tail = ":\n" + tail
	}
	return fmt.Sprintf("%s: %s%s", strings.Join(e.Argv, " "), e.State, tail)
}

func lastLines(b []byte, n int) string {
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}

// Run runs c to its end. The error is an *ExitError if it ended unsuccessfully,
// the context's error if that ended it, and another one if it did not start.
// The result is never nil once the process started.
func Run(ctx context.Context, c Cmd) (*Result, error) {
	p, err := Start(ctx, c)
	if err != nil {
		return nil, err
	}
	return p.Wait()
}

// Output runs argv in dir and returns its standard output, trimmed.
func Output(ctx context.Context, dir string, argv ...string) (string, error) {
	r, err := Run(ctx, Cmd{Argv: argv, Dir: dir})
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(r.Stdout)), nil
}

// Process is a started subprocess.
type Process struct {
	ctx      context.Context
	argv     []string
	cmd      *exec.Cmd
	out, err bytes.Buffer
	lines    *lineWriter
	started  time.Time
	done     chan struct{}
	result   *Result
	waitErr  error
}

// Start starts c; the caller must call Wait. When ctx is done the whole process
// group is ended.
func Start(ctx context.Context, c Cmd) (*Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p := &Process{ctx: ctx, argv: c.Argv, done: make(chan struct{})}
	p.cmd = exec.Command(c.Argv[0], c.Argv[1:]...)
	p.cmd.Dir = c.Dir
	p.cmd.Env = environment(c.Env)
	p.cmd.Stdin = c.Stdin
	p.cmd.ExtraFiles = c.Files
	orphaned := c.Orphaned
	if orphaned == 0 {
		orphaned = syscall.SIGKILL
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: orphaned}
	// A grandchild that keeps the pipe open must not keep us waiting.
	p.cmd.WaitDelay = 3 * time.Second
	var stdout, stderr io.Writer = &p.out, &p.err
	if c.Stdout != nil {
		stdout = c.Stdout
	}
	if c.Line != nil {
		p.lines = &lineWriter{line: c.Line}
		stdout = io.MultiWriter(stdout, p.lines.stream())
		stderr = io.MultiWriter(stderr, p.lines.stream())
	}
	if c.Merge {
		stderr = stdout // exec gives a process one pipe for both
	}
	p.cmd.Stdout, p.cmd.Stderr = stdout, stderr
	p.started = time.Now()
	if err := startPinned(p.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Argv[0], err)
	}
	grace := c.Grace
	if grace == 0 {
		grace = 5 * time.Second
	}
	go p.reap(grace)
	return p, nil
}

// Pid returns the process ID, which is also its process group's.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed once the process has ended and its output was read.
func (p *Process) Done() <-chan struct{} { return p.done }

// Signal sends sig to the whole process group.
func (p *Process) Signal(sig syscall.Signal) { _ = syscall.Kill(-p.Pid(), sig) }

// Wait waits for the end and returns what Run returns.
func (p *Process) Wait() (*Result, error) {
	<-p.done
	return p.result, p.waitErr
}

func (p *Process) reap(grace time.Duration) {
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	var err error
	stopped := false
	select {
	case err = <-ended:
	case <-p.ctx.Done():
		stopped = true
		err = p.stop(ended, grace)
	}
	// Whatever the process left in its group goes with it.
	p.Signal(syscall.SIGKILL)
	p.result = &Result{Stdout: p.out.Bytes(), Stderr: p.err.Bytes(), Elapsed: time.Since(p.started), Code: -1}
	if st := p.cmd.ProcessState; st != nil {
		p.result.Code = st.ExitCode()
		p.result.CPU = st.UserTime() + st.SystemTime()
		if ws, ok := st.Sys().(syscall.WaitStatus); ok {
			p.result.Signaled = ws.Signaled()
		}
	}
	if p.lines != nil {
		p.lines.flush()
	}
	switch {
	case stopped:
		p.waitErr = fmt.Errorf("%s: %w", p.argv[0], context.Cause(p.ctx))
	case errors.Is(err, exec.ErrWaitDelay) && p.result.Code == 0:
		// It ended well; only a grandchild still held the pipe.
	case err != nil:
		p.waitErr = &ExitError{Argv: p.argv, Result: p.result, State: err.Error()}
	}
	close(p.done)
}

func (p *Process) stop(ended <-chan error, grace time.Duration) error {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		p.Signal(sig)
		select {
		case err := <-ended:
			return err
		case <-time.After(grace):
		}
	}
	p.Signal(syscall.SIGKILL)
	return <-ended
}

// environment is what subprocesses see: enough to find programs and homes,
// nothing that changes what they print or build.
func environment(extra []string) []string {
	env := []string{"LC_ALL=C"}
	for _, k := range []string{"PATH", "HOME", "TMPDIR", "USER", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR",
		"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE",
		"GOPROXY", "GOFLAGS", "GOCACHE", "GOMODCACHE", "GOPATH", "GONOSUMDB", "GOTOOLCHAIN"} {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	return append(env, extra...)
}

// lineWriter joins several streams into one sequence of whole lines.
type lineWriter struct {
	mu      sync.Mutex
	line    func(string)
	streams []*lineStream
}

type lineStream struct {
	w   *lineWriter
	buf []byte
}

func (w *lineWriter) stream() *lineStream {
	s := &lineStream{w: w}
	w.streams = append(w.streams, s)
	return s
}

func (s *lineStream) Write(b []byte) (int, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.buf = append(s.buf, b...)
	for {
		i := bytes.IndexByte(s.buf, '\n')
		if i < 0 {
			return len(b), nil
		}
		s.w.line(strings.TrimSuffix(string(s.buf[:i]), "\r"))
		s.buf = s.buf[i+1:]
	}
}

func (w *lineWriter) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.streams {
		if len(s.buf) > 0 {
			w.line(string(s.buf))
			s.buf = nil
		}
	}
}
