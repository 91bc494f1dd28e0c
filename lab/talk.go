// SPDX-License-Identifier: GPL-2.0-or-later

package lab

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"packtest/guest/wire"
	"packtest/initramfs"
	"packtest/metric"
)

// transcript is what a guest said in one boot.
type transcript struct {
	hello      *wire.Hello
	samples    []said[metric.Sample]
	findings   []said[wire.Finding]
	unmeasured []said[wire.Unmeasured]
	layouts    []said[wire.Layout]
	windows    []wire.Window
	// failed maps a scenario that could not be carried out to the reason.
	failed map[string]string
	ended  map[string]bool
	done   bool
	// spoilt is set if the guest was the one that was booted, and then said what
	// no such guest says.
	spoilt bool
	// since tells the time since the boot's start.
	since func() time.Duration
}

// said is something the guest said while a scenario ran.
type said[T any] struct {
	scenario string
	what     T
	at       time.Duration // since the boot's start
}

// expectation is what a guest must turn out to be.
type expectation struct {
	arch string
	// configSum is the SHA-256 of the configuration the kernel was built with.
	configSum string
	// program names the build of the guest that was booted.
	program string
}

// expect says what the guest of a boot must turn out to be.
func (b *boot) expect() (expectation, error) {
	program, err := initramfs.GuestID(b.arch)
	return expectation{arch: b.arch, configSum: b.configSum, program: program}, err
}

func newTranscript(since func() time.Duration) *transcript {
	return &transcript{since: since, failed: map[string]string{}, ended: map[string]bool{}}
}

// talk holds the host's side of the conversation until the guest is done. After
// an error the transcript holds what was said before it.
//
// A guest that isn't what was built, says something out of turn, or leaves out
// a scenario is an error: its figures would prove nothing.
func (t *transcript) talk(ctx context.Context, port io.ReadWriter, job wire.Job, want expectation, heard func(wire.Message)) (err error) {
	r, w := wire.NewReader(port), wire.NewWriter(port)
	running, met, broken := "", false, false
	defer func() { t.spoilt = err != nil && met && !broken }()
	for !t.done {
		m, err := r.Read()
		if err != nil {
			var frame *wire.FrameError
			broken = ctx.Err() != nil || !errors.As(err, &frame)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if errors.Is(err, io.EOF) {
				return fmt.Errorf("the guest fell silent before it was done: %w", io.ErrUnexpectedEOF)
			}
			return err
		}
		heard(m)
		if (m.Type == wire.TypeHello) != (t.hello == nil) {
			return fmt.Errorf("the guest said %s where hello comes first, and once", m.Type)
		}
		switch m.Type {
		case wire.TypeHello:
			t.hello = m.Hello
			if err := want.check(m.Hello); err != nil {
				return err
			}
			if err := w.Write(wire.Message{Type: wire.TypeJob, Job: &job}); err != nil {
				return err
			}
			met = true
		case wire.TypeBegin:
			if running != "" || t.ended[m.Scenario] {
				return fmt.Errorf("the guest began %s out of turn", m.Scenario)
			}
			if !slices.ContainsFunc(job.Scenarios, func(s wire.ScenarioSpec) bool { return s.Name == m.Scenario }) {
				return fmt.Errorf("the guest began %s, which nobody asked for", m.Scenario)
			}
			running = m.Scenario
		case wire.TypeEnd:
			if running == "" || m.Scenario != running {
				return fmt.Errorf("the guest ended %q while it ran %q", m.Scenario, running)
			}
			t.ended[running] = true
			if m.End.Error != "" {
				t.failed[running] = m.End.Error
			}
			running = ""
		case wire.TypeDone:
			if running != "" {
				return fmt.Errorf("the guest was done in the middle of %s", running)
			}
			t.done = true
			if err := t.complete(job, m.Done); err != nil {
				return err
			}
		default:
			if running == "" || m.Scenario != running {
				return fmt.Errorf("the guest sent a %s of %q while it ran %q", m.Type, m.Scenario, running)
			}
			if err := t.keep(m); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *transcript) keep(m wire.Message) error {
	switch m.Type {
	case wire.TypeSample:
		if s := m.Sample; s.Unit == "ns" && slices.Min(s.Values) < 0 {
			return fmt.Errorf("the guest's clock went back: %s took %v ns", s.Metric, slices.Min(s.Values))
		}
		t.samples = append(t.samples, said[metric.Sample]{m.Scenario, *m.Sample, t.since()})
	case wire.TypeFinding:
		t.findings = append(t.findings, said[wire.Finding]{m.Scenario, *m.Finding, t.since()})
	case wire.TypeUnmeasured:
		t.unmeasured = append(t.unmeasured, said[wire.Unmeasured]{m.Scenario, *m.Unmeasured, t.since()})
	case wire.TypeLayout:
		t.layouts = append(t.layouts, said[wire.Layout]{m.Scenario, *m.Layout, t.since()})
	case wire.TypeWindow:
		t.windows = append(t.windows, *m.Window)
	}
	return nil
}

// complete checks that every scenario of the job was carried to its end, and
// that nothing was lost on the way.
func (t *transcript) complete(job wire.Job, d *wire.Done) error {
	for _, s := range job.Scenarios {
		if !t.ended[s.Name] {
			return fmt.Errorf("the guest says that it is done and never ran %s", s.Name)
		}
	}
	if d.Scenarios != len(job.Scenarios) || d.Findings != len(t.findings) {
		return fmt.Errorf("the guest counts %d scenarios and %d findings; %d and %d arrived",
			d.Scenarios, d.Findings, len(job.Scenarios), len(t.findings))
	}
	return nil
}

func (e expectation) check(h *wire.Hello) error {
	if h.Program != e.program {
		return fmt.Errorf("the guest is of another build (%s) than this packtest's (%s): build packtest with make, which builds both",
			nameOf(h.Program), nameOf(e.program))
	}
	if h.Arch != e.arch {
		return fmt.Errorf("booted a kernel for %s, and the guest says it runs on %s", e.arch, h.Arch)
	}
	if e.configSum == "" {
		return nil
	}
	sum, err := unpackedSum(h.Config)
	if err != nil {
		return fmt.Errorf("the guest's /proc/config.gz: %w", err)
	}
	if sum != e.configSum {
		return fmt.Errorf("the guest's /proc/config.gz (%.12s) is not the configuration that was built (%.12s)", sum, e.configSum)
	}
	return nil
}

// unpackedSum returns the SHA-256, in hexadecimal, of what a gzip stream unpacks to.
func unpackedSum(packed []byte) (string, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return "", err
	}
	h := sha256.New()
	// A configuration is some hundred kilobytes; a stream without end is none.
	n, err := io.Copy(h, io.LimitReader(z, 16<<20))
	if err != nil {
		return "", err
	}
	if n == 16<<20 {
		return "", fmt.Errorf("unpacks to more than %d bytes", n-1)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// nameOf returns a build's name.
func nameOf(program string) string {
	if program == "" {
		return "one without a name"
	}
	return program
}
