// SPDX-License-Identifier: GPL-2.0-or-later

package report

import (
	"bytes"
	"strings"
	"testing"

	"packtest/metric"
)

func TestTolerancesInTheLegend(t *testing.T) {
	rec := exampleRecord()
	rec.Tolerances = map[string]metric.Tolerance{"jit_pages": "2.5 %", "directmap_4k": "4194304", "text_mappings": "0"}
	var b bytes.Buffer
	if err := Text(&b, Build(rec)); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(b.String()), " ")
	if want := "it does not weigh: directmap_4k 4 MiB, jit_pages 2.5 %, text_mappings 0."; !strings.Contains(text, want) {
		t.Errorf("no %q in\n%s", want, b.String())
	}
}
