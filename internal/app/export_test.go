package app

import "net/http"

// Handler returns the HTTP handler, for tests whose requests come from other addresses
// than this machine's.
func (a *App) Handler() http.Handler { return a.server.Handler }
