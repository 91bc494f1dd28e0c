// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"packtest/guest/probe"
	"packtest/guest/scenario/fleet"
	"packtest/guest/wire"
	"packtest/metric"
)

// numaPrograms is how many programs numa loads, a part from each node.
const numaPrograms = 240

// numa loads programs from each node's processors with memory of that node, and
// then with another's; runs every program on a processor of each node; frees
// those of one node from another; and loads anew in what became free.
//
// Samples: node_pages for each node; attack_loads, _runs, _looks.
func numa(ctx context.Context, env *Env, spec wire.ScenarioSpec) (err error) {
	nodes, err := env.Kernel.Nodes()
	if err != nil {
		return err
	}
	var places []place
	for _, n := range nodes {
		if len(n.Processors) > 0 {
			places = append(places, place{n.Processors[0], n.Number})
		}
	}
	if len(places) < 2 {
		env.Report.Unmeasured("node_pages", fmt.Sprintf("%d nodes have processors here; it takes two (x86_64, --config numa)", len(places)))
		return nil
	}
	a, err := env.newAttack(ctx, spec, numaPrograms)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close(ctx)) }()
	n := numaAttack{a, nodes, places}
	for turn := range 2 {
		// In the second turn each has its neighbour's memory.
		if err := n.load(ctx, turn); err != nil {
			return err
		}
		if err := n.look(ctx); err != nil {
			return err
		}
		if turn == 0 {
			if err := n.pages(); err != nil {
				return err
			}
		}
		// Those that the first node loaded are freed on the second, and so on.
		for i := range places {
			err := places[(i+1)%len(places)].run(func() error {
				a.set.keep(func(p program) bool { return p.Index%len(places) != i || p.Index%3 == 0 })
				return nil
			})
			if err != nil {
				return err
			}
		}
		if err := n.look(ctx); err != nil {
			return err
		}
	}
	return a.finish(ctx)
}

type numaAttack struct {
	*attack
	nodes  []probe.Node
	places []place
}

// load loads half of all programs, by turns from each node, which has memory of
// the node that is so many places further.
func (n *numaAttack) load(ctx context.Context, further int) error {
	half := n.n / 2
	for i, p := range n.places {
		p.memory = n.places[(i+further)%len(n.places)].memory
		err := p.run(func() error {
			for j := further*half + i; j < (further+1)*half; j += len(n.places) {
				if err := n.add(ctx, j, j+1, func(j int) (fleet.Program, error) { return n.fleet.Program(j) }); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// look runs every program on a processor of each node, and applies the rules.
func (n *numaAttack) look(ctx context.Context) error {
	for i, p := range n.places {
		check := n.checkFast
		if i == 0 {
			check = n.check
		}
		if err := p.run(func() error { return check(ctx) }); err != nil {
			return err
		}
	}
	return n.watch.look(ctx)
}

// pages reports which nodes' memory code is in.
func (n *numaAttack) pages() error {
	areas, err := n.env.Kernel.Vmalloc()
	if err != nil {
		return err
	}
	infos, err := n.set.infos()
	if err != nil {
		return err
	}
	holds := map[int]bool{}
	for _, in := range infos {
		for _, f := range in.Functions {
			if i := probe.FindArea(areas, f.Address); i >= 0 {
				holds[i] = true
			}
		}
	}
	sum, all := 0, 0
	for i := range holds {
		all += areas[i].Pages
	}
	for _, node := range n.nodes {
		pages := 0
		for i := range holds {
			pages += areas[i].OnNode(node.Number)
		}
		sum += pages
		n.env.Report.Sample(metric.New("node_pages", map[string]string{"node": strconv.Itoa(node.Number)}, float64(pages)))
	}
	if sum != all || all == 0 {
		return fmt.Errorf("/proc/vmallocinfo has %d pages for code, and %d on its nodes", all, sum)
	}
	return nil
}

// place is a processor and the node whose memory it is to take.
type place struct{ processor, memory int }

// run calls f on a thread that runs on the processor and takes memory of the
// node, and that ends with f.
func (p place) run(f func() error) error {
	return onProcessor(p.processor, func() error {
		const bind = 2 // MPOL_BIND
		var mask [16]uint64
		mask[p.memory/64] |= 1 << (p.memory % 64)
		if _, _, errno := unix.RawSyscall(unix.SYS_SET_MEMPOLICY, bind, uintptr(unsafe.Pointer(&mask)), 64*uintptr(len(mask))); errno != 0 {
			return fmt.Errorf("take memory of node %d: %w", p.memory, errno)
		}
		return f()
	})
}

// onProcessor calls f on a thread that runs on the processor, and ends with f.
func onProcessor(processor int, f func() error) error {
	done := make(chan error, 1)
	go func() {
		// Never unlocked: so the thread ends.
		runtime.LockOSThread()
		var set unix.CPUSet
		set.Set(processor)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			done <- fmt.Errorf("go to processor %d: %w", processor, err)
			return
		}
		done <- f()
	}()
	return <-done
}
