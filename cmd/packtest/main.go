// SPDX-License-Identifier: GPL-2.0-or-later

// Command packtest builds kernels with and without a series that changes how
// BPF programs get executable memory, boots them, and says what is wrong and
// what the series buys. It turns flags into requests and outcomes into exit
// codes; how anything works is left to the packages below.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"packtest/internal/cache"
	"packtest/internal/fault"
	"packtest/plan"
)

// version is set when a release is built.
var version = "devel"

func main() {
	ctx, stop := interruptible(context.Background(), os.Stderr)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// interruptible returns a context that ends at the first SIGINT, SIGTERM or
// SIGHUP; a second one ends packtest at once. Under nohup SIGHUP goes on being
// ignored; SIGINT, which a shell has its background jobs ignore, is obeyed.
func interruptible(parent context.Context, stderr io.Writer) (context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	ch := make(chan os.Signal, 2)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(ch, syscall.SIGHUP)
	}
	go func() {
		<-ch
		fmt.Fprintln(stderr, "packtest: interrupted, cleaning up (once more to kill)")
		cancel()
		<-ch
		os.Exit(fault.Interrupted.ExitCode())
	}()
	return ctx, func() { signal.Stop(ch); cancel() }
}

// cli is every verb and what they have in common.
type cli struct {
	Init    initCmd    `cmd:"" help:"Write a plan file with comments."`
	Run     runCmd     `cmd:"" help:"Build the kernels, boot them, measure and compare."`
	Resume  resumeCmd  `cmd:"" help:"Go on with a run that was cut short."`
	Nightly nightlyCmd `cmd:"" help:"A run, what changed since the last good one, and a page of trends."`
	Check   checkCmd   `cmd:"" help:"Check a series patch by patch."`
	Bisect  bisectCmd  `cmd:"" help:"Find the patch of a series that brings a finding or a regression."`
	Report  reportCmd  `cmd:"" help:"Show a run again, in any format."`
	Compare compareCmd `cmd:"" help:"Compare two runs, or two sides of one."`
	History historyCmd `cmd:"" help:"List the runs."`
	Defects defectsCmd `cmd:"" help:"Put defects into the series and see whether they are found."`
	Local   localCmd   `cmd:"" help:"Make a record of what packguest local counted on a machine."`
	Shell   shellCmd   `cmd:"" help:"Boot one kernel and look around in it."`
	Doctor  doctorCmd  `cmd:"" help:"Say what this machine lacks, and the command that mends it."`
	GC      gcCmd      `cmd:"" name:"gc" help:"Show what the cache holds and remove what is old."`
	Man     manCmd     `cmd:"" help:"Write the manual's pages."`

	Completion completionCmd `cmd:"" help:"Write a script that makes a shell complete command lines."`
	Complete   completeCmd   `cmd:"" name:"__complete" hidden:""`

	Cache   string           `help:"Cache folder (default: $XDG_CACHE_HOME/packtest or ~/.cache/packtest)." placeholder:"DIR"`
	Results string           `help:"Folder of the runs." default:"results" placeholder:"DIR"`
	Version kong.VersionFlag `help:"Print the version."`
}

// world is what verbs get of the process and the machine.
type world struct {
	ctx            context.Context
	args           []string
	stdin          io.Reader
	stdout, stderr io.Writer
	now            func() time.Time
	cacheDir       string
	resultsDir     string
	model          *kong.Application
}

func (w *world) openCache() (*cache.Cache, error) {
	root := w.cacheDir
	if root == "" {
		var err error
		if root, err = cache.DefaultRoot(); err != nil {
			return nil, err
		}
	}
	c, err := cache.Open(root)
	if err != nil && w.cacheDir != "" {
		err = misnamed(err)
	}
	return c, err
}

// exitCode is an error that only chooses the exit code: what there was to say
// has been said.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// helpAsked is thrown by kong's exit hook after it printed help or the version.
type helpAsked int

// newParser makes the parser of command lines, from which the help, the manual
// and the shells' completion are made as well.
func newParser(c *cli, stdout, stderr io.Writer) (*kong.Kong, error) {
	return kong.New(c, kong.Name("packtest"),
		kong.Description("Is a series that changes how BPF programs get executable memory right on x86_64 and s390x, and what does it buy?"),
		kong.Writers(stdout, stderr), kong.Vars{"version": "packtest " + version, "scenarios": strings.Join(plan.Scenarios(), ", "), "formats": formatNames(), "axis": strings.Join(plan.AxisConfigs(), ", "), "planfile": plan.FileName},
		kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Exit(func(code int) { panic(helpAsked(code)) }))
}

// run is packtest without the process around it. It returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case helpAsked:
			code = int(v)
		default:
			panic(v)
		}
	}()
	var c cli
	parser, err := newParser(&c, stdout, stderr)
	if err != nil {
		return complain(stderr, err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "packtest: %v\npacktest: see packtest --help\n", err)
		return fault.Input.ExitCode()
	}
	if c.Results == "" {
		return complain(stderr, fault.WithHint(fault.Inputf("--results names no folder"), "without it, runs are kept in results"))
	}
	w := &world{ctx: ctx, args: args, stdin: stdin, stdout: stdout, stderr: stderr, now: time.Now, cacheDir: c.Cache, resultsDir: c.Results, model: kctx.Model}
	return complain(stderr, kctx.Run(w))
}

// complain says what went wrong and how to go on, and returns the exit code.
func complain(stderr io.Writer, err error) int {
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintf(stderr, "packtest: %s\n", saying(err))
	if hint := fault.HintOf(err); hint != "" {
		fmt.Fprintf(stderr, "packtest: %s\n", hint)
	}
	return fault.Of(err).ExitCode()
}

// saying is what an error says. What was interrupted, and in which words, is
// nobody's concern who has just interrupted it.
func saying(err error) string {
	if fault.Of(err) == fault.Interrupted {
		return "interrupted"
	}
	return err.Error()
}

// misnamed makes an error of writing what the user named an input error, where
// it is the name that is wrong: nothing can be there.
func misnamed(err error) error {
	for _, wrong := range []error{fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, unix.ENOTDIR, unix.EISDIR, unix.ENAMETOOLONG, unix.ELOOP, unix.EROFS} {
		if errors.Is(err, wrong) {
			return fault.Inputf("%w", err)
		}
	}
	return err
}
