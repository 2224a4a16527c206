package app

import "github.com/amtp-go/amtp/internal/operator"

// operator builds the service for the gateway's operator.
func (a *App) operator() *operator.Operator {
	o := &operator.Operator{Store: a.store, Queue: a.queue, Certificates: a.certificate,
		Domain: a.cfg.Server.Domain, Now: a.store.Now}
	if a.keys != nil { // an interface that holds a nil pointer would not be nil
		o.Keys = a.keys
	}
	return o
}
