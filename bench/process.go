package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/amtp-go/amtp"
)

// A process is a server under measurement: a child of this program that listens on
// loopback.
type process struct {
	name      string // in the report
	addr      string // host:port
	pid       int
	sender    agent
	recipient agent

	cmd   *exec.Cmd
	stdin io.Closer // nil for the gateway
}

// An agent is an agent that the gateway registered. The floors ask for no key.
type agent struct {
	Address amtp.Address
	Key     string
}

// nobody returns an agent without a key.
func nobody(address string) agent {
	a, err := amtp.ParseAddress(address)
	if err != nil {
		panic(err)
	}
	return agent{Address: a}
}

// stopping bounds how long a server may take to end.
const stopping = 30 * time.Second

// startFloor starts one of the floors; a log goes into dir.
func startFloor(ctx context.Context, word, dir string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{
		name: word, sender: nobody("alice@localhost"), recipient: nobody("bob@localhost"),
		cmd: exec.CommandContext(ctx, self, floorCommand, word, filepath.Join(dir, "log")),
	}
	p.cmd.Stderr = os.Stderr
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.pid, p.stdin = p.cmd.Process.Pid, stdin
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the server %s did not start: %w", p.name, err), p.stop())
	}
	p.addr = strings.TrimSpace(line)
	return p, nil
}

// stop ends the process, by its own id, and waits until it has ended.
func (p *process) stop() error {
	if p.stdin != nil {
		p.stdin.Close()
	} else if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	late := time.AfterFunc(stopping, func() { _ = p.cmd.Process.Kill() })
	err := p.cmd.Wait()
	if !late.Stop() {
		return fmt.Errorf("the server %s did not end within %v and was killed", p.name, stopping)
	}
	if err != nil {
		return fmt.Errorf("the server %s: %w", p.name, err)
	}
	return nil
}
