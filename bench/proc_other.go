//go:build !linux

package main

import (
	"errors"
	"os"
	"time"
)

var errNotLinux = errors.New("the benchmark reads processor time and memory from /proc: it runs on Linux only")

func supported() error                       { return errNotLinux }
func processTime(int) (time.Duration, error) { return 0, errNotLinux }
func machineTime() (time.Duration, error)    { return 0, errNotLinux }
func residentSize(int) (int64, error)        { return 0, errNotLinux }
func mayOpen(uint64) error                   { return errNotLinux }
func syncData(*os.File) error                { return errNotLinux }
func onDisk(string) error                    { return errNotLinux }
func familyTime(int) (time.Duration, error)  { return 0, errNotLinux }
