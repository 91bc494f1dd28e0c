// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"packtest/guest/bpf"
)

// shapeDispatcher runs XDP programs on several threads at once, again and again:
// each that begins or ends has the dispatcher written anew, while the others run
// through it. Then it has many at once.
func shapeDispatcher(ctx context.Context, s *shapesAttack) error {
	const threads, turns, repeat = 3, 5, 200
	var list []program
	for i := range 2 * threads {
		p, err := s.fleet.Of(bpf.XDP, 300+200*i, i)
		if err != nil {
			return err
		}
		if err := s.load(p); err != nil {
			return err
		}
		list = append(list, s.set.programs[len(s.set.programs)-1])
	}
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	for i := range threads {
		wg.Go(func() {
			for turn := 0; turn < turns && ctx.Err() == nil; turn++ {
				p := list[(2*i+turn)%len(list)]
				got, err := bpf.TestRun(p.fd, make([]byte, p.Packet()), nil, repeat)
				mu.Lock()
				s.runs += repeat
				if err != nil {
					errs = append(errs, err)
				} else if got != p.Answer {
					s.wrong = append(s.wrong, fmt.Sprintf("program %s (%s), through the dispatcher: answered %#x, must be %#x", p.Name, p.Type, got, p.Answer))
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return s.crowdDispatcher(ctx)
}
