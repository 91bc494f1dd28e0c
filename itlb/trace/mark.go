// SPDX-License-Identifier: GPL-2.0-or-later

package trace

// A guest marks its windows with instructions that do nothing but carry one of
// these numbers: x86_64 0F 1F 84 00 and the number in little-endian order (a
// NOPL with a displacement), s390x C0 04 and the number in big-endian order (a
// BRCL that never branches). A mark is the last instruction of what it ends: a
// window holds what is executed after its begin mark, up to and including its
// end mark; a lap mark belongs to the lap before it.
const (
	MarkBegin uint32 = 0x70746231
	MarkLap   uint32 = 0x70746c31
	MarkEnd   uint32 = 0x70746531
)
