// SPDX-License-Identifier: GPL-2.0-or-later

// Package wire is the language between packtest and the program that runs in
// its VMs: framed, versioned messages over a byte stream (a named virtio-serial
// port, or any other). What is measured and what the values mean is not its
// business.
//
// A frame is one line: the CRC-32 (IEEE) of the message in eight hexadecimal
// digits, a space, the message as JSON, a newline. A damaged or cut-off line is
// an error, never a message. The guest speaks first:
//
//	guest -> host   hello
//	host  -> guest  job
//	guest -> host   begin, progress, sample, layout, finding, unmeasured, end ...
//	guest -> host   done
//
// A run whose done is missing proved nothing.
package wire

import "packtest/metric"

// Version is the version of the messages; both sides must have the same one.
const Version = 1

// PortName is the name of the virtio-serial port that carries the messages.
const PortName = "packtest.wire.0"

// JobFile is where in the guest a job lies that is to be carried out before the
// conversation: the same job as the host then sends, as JSON.
const JobFile = "/packtest.job"

// Type names a kind of message.
type Type string

// The kinds of messages.
const (
	TypeHello      Type = "hello"
	TypeJob        Type = "job"
	TypeBegin      Type = "begin"
	TypeProgress   Type = "progress"
	TypeSample     Type = "sample"
	TypeLayout     Type = "layout"
	TypeFinding    Type = "finding"
	TypeUnmeasured Type = "unmeasured"
	TypeWindow     Type = "window"
	TypeEnd        Type = "end"
	TypeDone       Type = "done"
)

// Message is one message. Seq counts from 1 on each side, so that a lost or
// repeated message shows. Exactly the field named by Type is set, if any.
type Message struct {
	Version    int            `json:"v"`
	Seq        uint64         `json:"seq"`
	Type       Type           `json:"type"`
	Scenario   string         `json:"scenario,omitempty"`
	Hello      *Hello         `json:"hello,omitempty"`
	Job        *Job           `json:"job,omitempty"`
	Progress   *Progress      `json:"progress,omitempty"`
	Sample     *metric.Sample `json:"sample,omitempty"`
	Layout     *Layout        `json:"layout,omitempty"`
	Finding    *Finding       `json:"finding,omitempty"`
	Unmeasured *Unmeasured    `json:"unmeasured,omitempty"`
	Window     *Window        `json:"window,omitempty"`
	End        *End           `json:"end,omitempty"`
	Done       *Done          `json:"done,omitempty"`
}

// Hello tells what the guest found itself to be.
type Hello struct {
	// Program names the build of the guest's program; "" if it was not baked.
	Program     string            `json:"program,omitempty"`
	Arch        string            `json:"arch"`    // as packtest names it: x86_64, s390x
	Release     string            `json:"release"` // uname -r
	Build       string            `json:"build"`   // uname -v
	Cmdline     string            `json:"cmdline"`
	CPUs        int               `json:"cpus"`
	MemoryBytes int64             `json:"memory_bytes"`
	Config      []byte            `json:"config_gz,omitempty"`   // /proc/config.gz, as it is: unpacking it takes a guest longer than all else it has to say
	Mitigations map[string]string `json:"mitigations,omitempty"` // /sys/devices/system/cpu/vulnerabilities
}

// Job is what the guest is to do: scenarios in order.
type Job struct {
	Scenarios []ScenarioSpec `json:"scenarios"`
}

// ScenarioSpec asks for one scenario. Fields that a scenario has no use for
// are ignored by it; zero asks for its default.
type ScenarioSpec struct {
	Name     string `json:"name"`
	Programs int    `json:"programs,omitempty"` // how many to load
	Steps    []int  `json:"steps,omitempty"`    // numbers of programs, for scenarios that read at several
	Hot      int    `json:"hot,omitempty"`      // how many of the loaded programs run, for scenarios that run some
	Rounds   int    `json:"rounds,omitempty"`   // how often each of those runs
	Seed     uint64 `json:"seed"`
	Seconds  int    `json:"seconds,omitempty"` // how long, for scenarios that go on for a given time
	Module   string `json:"module,omitempty"`  // path in the guest, for scenarios that load one
}

// Progress tells how far a scenario has come; it also shows that the guest lives.
type Progress struct {
	Done  int    `json:"done"`
	Total int    `json:"total"`
	What  string `json:"what,omitempty"`
}

// Finding is something wrong that the guest saw.
type Finding struct {
	Kind     string `json:"kind"`  // "wrong-answer", "leak", "overlap", "permissions", "test-bpf", ...
	Title    string `json:"title"` // one line, the same for the same fault
	Evidence string `json:"evidence,omitempty"`
	// Cases is how large the trouble is: how many programs or pages it is about, or
	// how much does not come back; 0 where that says nothing or hangs on chance.
	Cases int `json:"cases,omitempty"`
}

// Unmeasured says that a metric could not be had, and why.
type Unmeasured struct {
	Metric string `json:"metric"`
	Why    string `json:"why"`
}

// Layout is where JIT code lies at one moment.
type Layout struct {
	// Step tells apart the layouts of one scenario, such as "loaded".
	Step    string   `json:"step"`
	Regions []Region `json:"regions"`
}

// Region is one vmalloc area that holds JIT code.
type Region struct {
	Start uint64 `json:"start"`
	Bytes uint64 `json:"bytes"` // without the guard page
	// PageBytes is the size of the page-table leaf that maps its first byte:
	// 4096, 2 MiB (1 MiB on s390x); 0 if the page tables don't show it.
	PageBytes uint64  `json:"page_bytes"`
	Images    []Image `json:"images"`
}

// Image is one function's code in a region.
type Image struct {
	Offset uint64 `json:"offset"` // from the region's start
	Bytes  uint64 `json:"bytes"`
	Type   string `json:"type"` // socket_filter, sched_cls, xdp, kprobe, cgroup_skb, ...
	ID     uint32 `json:"id"`   // the kernel's program ID
}

// Window is one stretch of execution that the guest marked for the tracer: what
// ran in it, and which memory could be executed meanwhile.
type Window struct {
	Number int    `json:"number"` // counts from 1 in a boot, in the order of the marks
	Form   string `json:"form"`   // who calls the programs: "test_run", "attached"
	Loaded int    `json:"loaded"` // programs loaded
	Hot    int    `json:"hot"`    // programs that run, each once a round
	Rounds int    `json:"rounds"` // rounds between the marks, with a lap mark between two
	Runs   uint64 `json:"runs"`   // program runs in all, as the kernel or the programs' own answers count them
	// HotIDs are the kernel's IDs of the programs that run, in their order.
	HotIDs []uint32 `json:"hot_ids"`
	// Memory is the number of the window, this one or an earlier one, whose
	// Kernel, User and Images are those of this one; any other has none itself.
	Memory int `json:"memory"`
	// Kernel is the kernel's executable memory, from its page tables; equal
	// before and after the window.
	Kernel []Mapped `json:"kernel,omitempty"`
	// User is the executable memory of the process that drives the window.
	User []Mapped `json:"user,omitempty"`
	// Images is the code of every loaded program.
	Images []LoadedImage `json:"images,omitempty"`
}

// Mapped is a range of virtual addresses under page-table leaves of one size.
type Mapped struct {
	Start     uint64 `json:"start"`
	End       uint64 `json:"end"`
	PageBytes uint64 `json:"page_bytes"`
}

// LoadedImage is one function's code at its address.
type LoadedImage struct {
	Start uint64 `json:"start"`
	Bytes uint64 `json:"bytes"`
	ID    uint32 `json:"id"` // the kernel's program ID
}

// End closes a scenario. Error is set if the scenario itself could not be
// carried out: then nothing it did proves anything.
type End struct {
	Seconds float64 `json:"seconds"`
	Error   string  `json:"error,omitempty"`
}

// Done is the guest's last message. Scenarios counts the ones it began.
type Done struct {
	Scenarios int `json:"scenarios"`
	Findings  int `json:"findings"`
}
