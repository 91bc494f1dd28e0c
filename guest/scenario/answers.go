// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"

	"packtest/guest/bpf"
	"packtest/guest/scenario/fleet"
	"packtest/guest/wire"
)

// maxNamed is how many wrong answers a finding tells one by one.
const maxNamed = 10

// check runs every program once and compares its answer with the one it must
// give. Wrong answers are one finding. slots is where kprobe programs have theirs.
func (l *loaded) check(ctx context.Context, env *Env, slots *bpf.Array) error {
	var wrong []string
	judge := func(p program, got uint32) {
		if got != p.Answer {
			wrong = append(wrong, fmt.Sprintf("program %d (%s, %d functions, about %d bytes): answered %#x, must be %#x",
				p.Index, p.Type, p.Functions, p.TargetBytes, got, p.Answer))
		}
	}
	var traced []program
	packet, ctxOut := make([]byte, 4096), make([]byte, 512)
	for i, p := range l.programs {
		if i%batch == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			env.Report.Progress(i, len(l.programs), "programs run")
		}
		if p.Type == bpf.Kprobe {
			traced = append(traced, p)
			continue
		}
		got, err := runPacket(p, packet, ctxOut)
		if err != nil {
			return fmt.Errorf("program %d: %w", p.Index, err)
		}
		judge(p, got)
	}
	if len(traced) > 0 {
		got, err := runTraced(traced, slots)
		if err != nil {
			return err
		}
		for i, p := range traced {
			judge(p, got[i])
		}
	}
	env.Report.Progress(len(l.programs), len(l.programs), "programs run")
	if len(wrong) > 0 {
		env.Report.Finding(wire.Finding{
			Kind:     "wrong-answer",
			Title:    "programs give wrong answers",
			Evidence: fmt.Sprintf("%d of %d programs:\n%s", len(wrong), len(l.programs), firstLines(wrong)),
			Cases:    len(wrong),
		})
	}
	return nil
}

// runPacket runs a program of a networking type and returns its answer.
func runPacket(p program, packet, ctxOut []byte) (uint32, error) {
	if p.Type != bpf.CgroupSKB {
		return bpf.TestRun(p.fd, packet[:p.Packet()], nil, 1)
	}
	ret, err := bpf.TestRun(p.fd, packet[:p.Packet()], ctxOut, 1)
	if err != nil {
		return 0, err
	}
	if ret != 1 {
		// The answer may be right and the verdict not.
		return ^p.Answer, nil
	}
	return binary.NativeEndian.Uint32(ctxOut[fleet.MarkAt:]), nil
}

// firstLines joins the first lines of a long list and says how many it left out.
func firstLines(list []string) string {
	if len(list) <= maxNamed {
		return strings.Join(list, "\n")
	}
	return fmt.Sprintf("%s\nand %d more", strings.Join(list[:maxNamed], "\n"), len(list)-maxNamed)
}
