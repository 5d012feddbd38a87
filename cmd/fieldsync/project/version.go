package project

import (
	"runtime"
	"runtime/debug"
)

// Version is what this binary is: its version, revision, Go and platform.
func Version() map[string]string {
	v := map[string]string{"version": "unreleased", "revision": "unknown revision", "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		v["version"] = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v["revision"] = s.Value[:min(12, len(s.Value))]
		}
	}
	return v
}
