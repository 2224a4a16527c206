package app

import (
	"net"
)

// listenLocal opens the listener for this machine only, if one is configured. It has
// no TLS, because its traffic never leaves the machine.
func (a *App) listenLocal() (net.Listener, error) {
	address := a.cfg.Server.LocalAddress
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, cannotListen(address, "--local-address", err)
	}
	return a.conns.listen(l), nil
}

// listeners returns the open listeners.
func (a *App) listeners() []net.Listener {
	var list []net.Listener
	for _, l := range []net.Listener{a.listener, a.localListener} {
		if l != nil {
			list = append(list, l)
		}
	}
	return list
}

// serve answers requests at every listener, and on the connections that held gives back.
// The channel has room for the result of each.
func (a *App) serve() <-chan error {
	all := append(a.listeners(), a.held)
	served := make(chan error, len(all))
	for _, l := range all {
		go func() { served <- a.server.Serve(l) }()
	}
	return served
}
