// SPDX-License-Identifier: GPL-2.0-or-later

package results

import "fmt"

// Check is what was seen of a series patch by patch. A step is the series'
// ground with its first patches, counted from 0; its kernels are cells, and its
// boots boots, of the variant CheckVariant(step).
type Check struct {
	Series string   `json:"series"`
	Arches []string `json:"arches"`
	// Patches are the series' own, in order.
	Patches []CheckPatch `json:"patches"`
	// Planned are the checks that every patch was to undergo.
	Planned []CheckKind `json:"planned"`
	// Configs are the configurations in which kernels were to be built only, and
	// EveryPatch tells whether after each patch or after the last.
	Configs    []CheckConfig `json:"configs,omitempty"`
	EveryPatch bool          `json:"every_patch,omitempty"`
	// NotMeasured says which checks could not be planned, and why.
	NotMeasured []CheckGap    `json:"not_measured,omitempty"`
	Steps       []CheckStep   `json:"steps"`
	Builds      []ConfigBuild `json:"config_builds,omitempty"`
}

// CheckVariant names the variant of a step.
func CheckVariant(step int) string {
	if step == 0 {
		return "base"
	}
	return fmt.Sprintf("patch-%02d", step)
}

// CheckKind is one kind of check.
type CheckKind string

// The kinds: the first two look at the patch, the others at a kernel.
const (
	Applies    CheckKind = "applies"
	Checkpatch CheckKind = "checkpatch"
	Builds     CheckKind = "builds"
	NoWarning  CheckKind = "warnings"
	NoSparse   CheckKind = "sparse"
	CodeSize   CheckKind = "size"
	Boots      CheckKind = "boots"
)

// CheckKinds returns every kind, in the order in which they are shown.
func CheckKinds() []CheckKind {
	return []CheckKind{Applies, Checkpatch, Builds, NoWarning, NoSparse, CodeSize, Boots}
}

// PatchOnly tells whether a kind looks at the patch, whatever the architecture.
func (k CheckKind) PatchOnly() bool { return k == Applies || k == Checkpatch }

// CheckPatch is one patch of the series.
type CheckPatch struct {
	Subject string `json:"subject"`
	// Applied is set if it applied; Error says why it did not. Both are empty if
	// an earlier one did not.
	Applied bool   `json:"applied"`
	Error   string `json:"error,omitempty"`
	Style   *Style `json:"checkpatch,omitempty"`
}

// Style is what checkpatch.pl said of a patch.
type Style struct {
	Errors   int `json:"errors"`
	Warnings int `json:"warnings"`
	Checks   int `json:"checks"`
	// Text is what it printed.
	Text string `json:"text,omitempty"`
}

// CheckStep is what building one step for one architecture showed besides the
// kernel. A step that was not built has none.
type CheckStep struct {
	Arch string `json:"arch"`
	Step int    `json:"step"`
	// Since is the step that it is held against, the last that was built before;
	// -1 if there is none.
	Since int `json:"since"`
	// New are the warnings that Since hasn't got, Warnings how many there are.
	New      []BuildWarning `json:"new,omitempty"`
	Warnings int            `json:"warnings"`
	// Size is that of the sections that are loaded, Symbols of the symbols in them:
	// without what aligns them, and without what has no symbol, such as strings.
	// Records of earlier packtests haven't got it.
	Size    KernelSize  `json:"size"`
	Symbols *KernelSize `json:"symbols,omitempty"`
	// Functions is how they differ from Since's; nil where there is none.
	Functions *Growth `json:"functions,omitempty"`
}

// Growth is how the functions of one kernel differ from another's.
type Growth struct {
	// Added and the others are how many functions, Up and Down how many bytes.
	Added   int   `json:"added"`
	Removed int   `json:"removed"`
	Grown   int   `json:"grown"`
	Shrunk  int   `json:"shrunk"`
	Up      int64 `json:"up"`
	Down    int64 `json:"down"`
	// Most are those that differ most, first.
	Most []Grown `json:"most"`
}

// Grown is a function's size in bytes; 0 is not there.
type Grown struct {
	Name   string `json:"name"`
	Before int64  `json:"before"`
	After  int64  `json:"after"`
}

// BuildWarning is one complaint of a tool that had a part in a build.
type BuildWarning struct {
	Tool string `json:"tool"` // compiler, sparse, kernel-doc, objtool or build
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Text string `json:"text"`
	Said string `json:"said"` // all that was said of it
}

// Sparse is the tool of a BuildWarning that is of the kind NoSparse; all others
// are of the kind NoWarning.
const Sparse = "sparse"

// KernelSize is what a kernel's sections, or the symbols in them, take, in bytes.
type KernelSize struct {
	Code     int64 `json:"code"`
	ReadOnly int64 `json:"readonly"`
	Data     int64 `json:"data"`
	Zero     int64 `json:"zero"`
}

// CheckConfig is a configuration on one architecture.
type CheckConfig struct {
	Arch   string `json:"arch"`
	Config string `json:"config"`
}

// ConfigBuild is one step built in a configuration that nothing boots.
type ConfigBuild struct {
	Arch    string  `json:"arch"`
	Config  string  `json:"config"`
	Step    int     `json:"step"`
	Objects int     `json:"objects"`
	Seconds float64 `json:"build_seconds"`
	Cached  bool    `json:"cached"`
	// Error is set if it could not be built, and Fault says whose fault that was.
	Error string `json:"error,omitempty"`
	Fault string `json:"fault,omitempty"`
}

// CheckGap is a kind of check that could not be carried out at all.
type CheckGap struct {
	Kind CheckKind `json:"kind"`
	Why  string    `json:"why"`
}
