// SPDX-License-Identifier: GPL-2.0-or-later

package build

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"packtest/internal/need"
	"packtest/kernel/kconfig"
	"packtest/kernel/series"
)

// A warning that a patch brings is seen, one that it moves is not, and the kernel
// is the one that a build without warnings makes.
func TestInspect(t *testing.T) {
	need.Long(t)
	const arch = "s390x" // the smaller one
	need.KernelBuild(t, arch)
	ctx := context.Background()
	c := productCache(t)
	cellOf := func(stack ...series.Series) Cell {
		cell := realCell(t, c, arch, stack...)
		small, err := kconfig.Parse("small", "CONFIG_EXPERT=y\nCONFIG_64BIT=y\nCONFIG_MARCH_Z13=y\nCONFIG_KERNEL_UNCOMPRESSED=y\n# CONFIG_LOCALVERSION_AUTO is not set\n")
		if err != nil {
			t.Fatal(err)
		}
		cell.Config, cell.Fragments = "test-small", []kconfig.Fragment{small}
		return cell
	}
	plain, err := Build(ctx, c, cellOf(), options(t))
	if err != nil {
		t.Fatal(err)
	}
	k, before, err := Inspect(ctx, c, cellOf(), options(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d objects in %.0f s, %d warnings, size %+v, of symbols %+v", k.Objects, k.Seconds, len(before.Warnings.All()), before.Size, before.Symbols.Size)
	if k.SHA256 != plain.SHA256 || k.SHA256 == "" {
		t.Errorf("the image is %.12s, without warnings %.12s", k.SHA256, plain.SHA256)
	}
	if s := before.Size; s.Code < 1<<19 || s.ReadOnly < 1<<16 || s.Data < 1<<14 || s.Zero < 1<<14 {
		t.Errorf("size %+v", s)
	}
	if s := before.Symbols; s.Size.Code < 1<<19 || s.Size.Code > before.Size.Code || s.Functions["sort"] == 0 || s.Functions["sort_r"] == 0 {
		t.Errorf("size of symbols %+v, of %d functions", s.Size, len(s.Functions))
	}

	const licence, next = "// SPDX-License-Identifier: GPL-2.0", " * A fast, small, non-recursive O(n log n) sort for the Linux kernel"
	_, same, err := Inspect(ctx, c, cellOf(replace("moved", "lib/sort.c", 1, licence, "/*", "\n\n/*", next)), options(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := same.Warnings.Since(before.Warnings); len(got) != 0 {
		t.Errorf("lines were moved, and these warnings are new: %+v", got)
	}
	worse := replace("worse", "lib/sort.c", 1, licence, "/*", "int nobody_calls(int a);int nobody_calls(int a) { int b; b = a; return 0; }\nint undeclared(void) { return 0; }\n/*", next)
	_, after, err := Inspect(ctx, c, cellOf(worse), options(t))
	if err != nil {
		t.Fatal(err)
	}
	if g := after.Symbols.Since(before.Symbols); g.Added != 2 || !slices.ContainsFunc(g.Most, func(f Grown) bool { return f.Name == "nobody_calls" && f.Before == 0 }) {
		t.Errorf("two functions more: %+v", g)
	}
	if g := same.Symbols.Since(before.Symbols); len(g.Most) != 0 {
		t.Errorf("lines were moved, and functions differ: %+v", g)
	}
	var said []string
	for _, w := range after.Warnings.Since(before.Warnings) {
		said = append(said, w.Tool+" "+w.File+" "+w.Text)
	}
	all := strings.Join(said, "\n")
	for _, want := range []string{"compiler lib/sort.c variable 'b' set but not used", "compiler lib/sort.c no previous prototype for 'undeclared'"} {
		if !strings.Contains(strings.NewReplacer("‘", "'", "’", "'").Replace(all), want) {
			t.Errorf("new warnings:\n%s\nwant %q", all, want)
		}
	}
	sparse, err := Sparse(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if want := "sparse lib/sort.c symbol 'undeclared' was not declared"; sparse != "" && !strings.Contains(all, want) {
		t.Errorf("new warnings:\n%s\nwant %q", all, want)
	}

	bad := replace("bad", "lib/sort.c", 1, licence, "/*", "no C;\n/*", next)
	other := replace("other", "lib/uuid.c", 1, "// SPDX-License-Identifier: GPL-2.0-only", "/*", "no C either;\n/*", " * Unified UUID/GUID definition")
	_, _, err = Inspect(ctx, c, cellOf(bad, other), options(t))
	var e *CompileError
	if !errors.As(err, &e) || !strings.Contains(e.Output, "lib/sort.c:2") || !strings.Contains(e.Output, "lib/uuid.c:2") {
		t.Errorf("two broken files: %v", err)
	}
}
