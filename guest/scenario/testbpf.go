// SPDX-License-Identifier: GPL-2.0-or-later

package scenario

import (
	"context"

	"packtest/guest/wire"
)

func testBPF(ctx context.Context, env *Env, spec wire.ScenarioSpec) error { return nil }
