// SPDX-License-Identifier: GPL-2.0-or-later

package main

const finitModule = 313
