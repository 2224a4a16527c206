package service

import "testing"

func TestSystemdStatus(t *testing.T) {
	tests := []struct {
		out  string
		want Status
	}{
		{"LoadState=not-found\nActiveState=inactive\nSubState=dead\nMainPID=0\n",
			Status{State: "inactive (dead)"}},
		{"LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nMainPID=42\nActiveEnterTimestamp=Sun 2026-11-22 20:00:00 UTC\nFragmentPath=/a b\n",
			Status{Installed: true, Running: true, State: "active (running)", Starts: true, PID: 42,
				Since: "Sun 2026-11-22 20:00:00 UTC", File: "/a b"}},
		{"LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nUnitFileState=disabled\n",
			Status{Installed: true, State: "activating (auto-restart)"}},
		{"LoadState=loaded\nActiveState=failed\nSubState=failed\n",
			Status{Installed: true, State: "failed (failed)", failed: true}},
	}
	for _, tt := range tests {
		tt.want.Manager, tt.want.Unit = "systemd", unitName
		if got := systemdStatus(tt.out); got != tt.want {
			t.Errorf("%q: %+v\nwant %+v", tt.out, got, tt.want)
		}
	}
}
