// SPDX-License-Identifier: GPL-2.0-or-later

package itlb

import "math/bits"

// level is one level of one CPU's TLB. Translations have dense numbers (tags),
// so that a table tells at once where one is held, however many ways there
// are: the time of an access does not depend on the geometry.
type level struct {
	// touched by every access
	refs  []ref // by tag
	slots []slot
	head  []int32 // by set, LRU: the slot used last
	tree  []uint64
	lru   bool
	// touched by misses and flushes
	valid  []uint64 // by set, tree-PLRU: one bit a way
	sets   []ways   // of all arrays
	arrays []Array
	first  []int // of each array, its first set
}

// ref is where a translation belongs and where it is.
type ref struct {
	slot int32 // -1 if it is not held
	set  int32 // -1 if no array takes its size
}

// slot is one entry. Under LRU the slots of a set are a ring: from the head,
// which was used last, next leads to what was used before. What holds nothing
// is at the end. Under tree-PLRU mask is the set's tree nodes above this slot,
// and away their values that point to the other side.
type slot struct {
	tag        int32 // -1 if it holds nothing
	prev, next int32
	mask, away uint64
}

type ways struct{ base, n int32 }

func newLevel(l Level) *level {
	v := &level{lru: l.Policy != TreePLRU, arrays: l.Arrays}
	for _, a := range l.Arrays {
		v.first = append(v.first, len(v.sets))
		for range a.Sets {
			base := int32(len(v.slots))
			for w := range a.Ways {
				s := slot{tag: -1, prev: base + int32((w+a.Ways-1)%a.Ways), next: base + int32((w+1)%a.Ways)}
				if !v.lru {
					s.mask, s.away = treePath(w, a.Ways)
				}
				v.slots = append(v.slots, s)
			}
			v.head = append(v.head, base)
			v.sets = append(v.sets, ways{base, int32(a.Ways)})
		}
	}
	v.tree = make([]uint64, len(v.sets))
	v.valid = make([]uint64, len(v.sets))
	return v
}

// treePath returns the nodes from the root of a tree over n ways to way w, and
// their values that lead elsewhere. Nodes are numbered as in a heap, the root
// is 1; a node's bit is 0 if the next victim is to its left.
func treePath(w, n int) (mask, away uint64) {
	for node := (n + w) / 2; node > 0; node /= 2 {
		mask |= 1 << node
	}
	for node := n + w; node > 1; node /= 2 {
		if node%2 == 0 { // a left child: point to the right
			away |= 1 << (node / 2)
		}
	}
	return mask, away
}

// add makes room for the next tag.
func (v *level) add(t translation) {
	r := ref{slot: -1, set: -1}
	for i, a := range v.arrays {
		if a.takes(t.large()) {
			r.set = int32(v.first[i] + a.set(t.number))
		}
	}
	v.refs = append(v.refs, r)
}

// access uses a translation; it returns false, and takes it in, if it was not
// held.
func (v *level) access(tag uint32) bool {
	r := &v.refs[tag]
	if r.slot < 0 {
		if r.set >= 0 {
			v.fill(int32(tag), r)
		}
		return false
	}
	if v.lru {
		if h := v.head[r.set]; h != r.slot {
			v.toHead(h, r.slot, r.set)
		}
		return true
	}
	s := &v.slots[r.slot]
	v.tree[r.set] = v.tree[r.set]&^s.mask | s.away
	return true
}

// toHead makes slot the one that was used last; h is the head so far.
func (v *level) toHead(h, slot, set int32) {
	v.unlink(slot)
	v.before(h, slot)
	v.head[set] = slot
}

func (v *level) unlink(slot int32) {
	s := &v.slots[slot]
	v.slots[s.prev].next = s.next
	v.slots[s.next].prev = s.prev
}

// before puts slot, which is in no ring, before h: at the end of h's ring.
func (v *level) before(h, slot int32) {
	last := v.slots[h].prev
	v.slots[slot].prev, v.slots[slot].next = last, h
	v.slots[last].next, v.slots[h].prev = slot, slot
}

// fill takes a translation in, in an empty way if there is one.
func (v *level) fill(tag int32, r *ref) {
	var victim int32
	if v.lru {
		victim = v.slots[v.head[r.set]].prev
		v.head[r.set] = victim // the end of a ring is before its head
	} else {
		set := v.sets[r.set]
		way := int32(bits.TrailingZeros64(^v.valid[r.set]))
		if way >= set.n {
			way = treeVictim(v.tree[r.set], set.n)
		}
		v.valid[r.set] |= 1 << way
		victim = set.base + way
		s := &v.slots[victim]
		v.tree[r.set] = v.tree[r.set]&^s.mask | s.away
	}
	s := &v.slots[victim]
	if s.tag >= 0 {
		v.refs[s.tag].slot = -1
	}
	s.tag = tag
	r.slot = victim
}

// treeVictim follows the bits from the root.
func treeVictim(tree uint64, n int32) int32 {
	node := int32(1)
	for node < n {
		node = 2*node + int32(tree>>node&1)
	}
	return node - n
}

// flush drops every translation, or every one for which keep is false.
func (v *level) flush(keep func(tag int32) bool) {
	for i := range v.slots {
		s := &v.slots[i]
		if s.tag < 0 || keep != nil && keep(s.tag) {
			continue
		}
		r := &v.refs[s.tag]
		r.slot, s.tag = -1, -1
		if !v.lru {
			v.valid[r.set] &^= 1 << (int32(i) - v.sets[r.set].base)
			continue
		}
		switch h := v.head[r.set]; {
		case h == int32(i): // what was used before it becomes the head, it the end
			v.head[r.set] = s.next
		case v.slots[h].prev != int32(i):
			v.unlink(int32(i))
			v.before(h, int32(i))
		}
	}
}
