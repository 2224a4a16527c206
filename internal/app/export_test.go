package app

import (
	"net/http"

	"github.com/amtp-go/amtp/internal/courier"
)

// Handler returns the HTTP handler, for tests whose requests come from other addresses
// than this machine's.
func (a *App) Handler() http.Handler { return a.server.Handler }

// Couriers are what carries the jobs of the queue.
func (a *App) Couriers() courier.Router { return a.couriers }
