package app

import "net/http"

// Handler is what answers requests, for tests that come from elsewhere than this
// machine.
func (a *App) Handler() http.Handler { return a.server.Handler }
