package service

import (
	"encoding/xml"
	"strings"
)

// Label is the name of the gateway for launchd.
const Label = "amtp.gateway"

// Plist returns the property list for launchd: an agent of the user.
//
// A shell writes the number of the process down and becomes the program: that is
// what newsyslog needs to rotate the log.
func (g Gateway) Plist() ([]byte, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
`)
	key := func(name string, values ...string) {
		b.WriteString("\t<key>" + name + "</key>\n")
		for _, v := range values {
			b.WriteString("\t" + v + "\n")
		}
	}
	key("Label", text(Label))
	arguments := []string{"/bin/sh", "-c", `echo $$ >"$0" && exec "$@"`, g.PIDFile, g.Program, "serve"}
	key("ProgramArguments", "<array>")
	for _, a := range append(arguments, g.Args...) {
		b.WriteString("\t\t" + text(a) + "\n")
	}
	b.WriteString("\t</array>\n")
	key("EnvironmentVariables", "<dict>", "\t<key>AMTP_DATA_DIR</key>", "\t"+text(g.DataDir), "</dict>")
	key("RunAtLoad", "<true/>")
	key("KeepAlive", "<true/>")
	key("ThrottleInterval", "<integer>10</integer>")
	key("ExitTimeOut", "<integer>40</integer>") // requests that are under way have 25 seconds
	key("Umask", "<integer>63</integer>")       // 077
	key("ProcessType", text("Standard"))
	key("StandardOutPath", text(g.Log))
	key("StandardErrorPath", text(g.Log))
	b.WriteString("</dict>\n</plist>\n")
	return []byte(b.String()), nil
}

func text(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a builder takes everything
	return "<string>" + b.String() + "</string>"
}
