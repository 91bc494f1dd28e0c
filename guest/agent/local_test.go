// SPDX-License-Identifier: GPL-2.0-or-later

package agent

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"packtest/guest/scenario"
	"packtest/guest/wire"
)

func TestServeAlone(t *testing.T) {
	var out bytes.Buffer
	a := Agent{Hello: wire.Hello{Arch: "s390x"}, Scenarios: scenarios(), Env: scenario.Env{Log: io.Discard}}
	if err := a.ServeAlone(context.Background(), *job("good").Job, &out); err != nil {
		t.Fatal(err)
	}
	want := []string{"hello", "good begin", "good progress 1/2", "good progress 2/2", "good sample", "good layout", "good unmeasured", "good end", "done 1 0"}
	if d := cmp.Diff(want, listen(wire.NewReader(&out))); d != "" {
		t.Error(d)
	}
}
