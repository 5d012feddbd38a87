package plugin

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fieldsync/fieldsync/connectors"
)

// The most that a folder of a plugin may hold: it is read whole before every start.
const (
	maxFiles = 50_000
	maxBytes = 2 << 30
)

// find returns the program's file if it may be started: it stands in the folder, nobody else can write it, and it has
// the sum that the mapping says. The search path of the machine is never asked.
func (c *Config) find(dir string) (string, error) {
	folder := c.folder(dir)
	wrong := func(hint, detail string, args ...any) error {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: "plugin " + c.Program, Detail: fmt.Sprintf(detail, args...), Hint: hint}
	}
	root, err := filepath.EvalSymlinks(folder)
	if err == nil {
		root, err = filepath.Abs(root) // the program is started in a folder of its own
	}
	if err != nil {
		return "", wrong("make the folder, or name another one with folder in the connection", "there is no folder %s", folder)
	}
	program, err := within(root, filepath.Join(root, c.Program))
	if errors.Is(err, fs.ErrNotExist) {
		hint := "put the program there, or correct program in the connection"
		if near := connectors.Nearest(c.Program, list(root)); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		return "", wrong(hint, "it is not in %s", folder)
	}
	if err != nil {
		return "", wrong("put the program itself into the folder", "%v", err)
	}
	info, err := os.Stat(program)
	if err != nil {
		return "", wrong("", "%v", err)
	}
	whole := info.IsDir() // then everything in it is pinned, and its file of the same name is started
	file := program
	if whole {
		if file, err = within(program, filepath.Join(program, c.Program)); err == nil {
			info, err = os.Stat(file)
		}
		if err != nil {
			return "", wrong(fmt.Sprintf("the file that is started is called like its folder: %s/%s", c.Program, c.Program), "%v", err)
		}
	}
	if !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return "", wrong("chmod 755 "+file, "%s is no program that can be started", file)
	}
	if err := onlyOurs(root, program); err != nil {
		return "", wrong("take the right to write away from others: chmod -R o-w "+root, "%v", err)
	}
	sum, err := sum(program, whole)
	if err != nil {
		return "", wrong("", "%v", err)
	}
	switch {
	case c.SHA256 == "":
		return "", wrong(fmt.Sprintf("if this is the program that you trust, write: sha256 = %q", sum), "it is not pinned, and its SHA-256 is %s", sum)
	case c.SHA256 != sum:
		return "", wrong("if the program was replaced on purpose, and you trust it, write the new sum into the connection",
			"its SHA-256 is %s, and the mapping pins %s: it is not started", sum, c.SHA256)
	}
	return file, nil
}

// within follows links, as long as they stay in the folder.
func within(root, name string) (string, error) {
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return "", err
	}
	if rel, err := filepath.Rel(root, real); err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return "", fmt.Errorf("%s is a link out of its folder, to %s", name, real)
	}
	return real, nil
}

func list(root string) []string {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// onlyOurs refuses what anybody on the machine could have written, or could replace between the look and the start.
func onlyOurs(root, program string) error {
	look := func(name string) error {
		info, err := os.Lstat(name)
		if err == nil && info.Mode()&0o002 != 0 && info.Mode()&(fs.ModeSymlink|fs.ModeSticky) == 0 {
			return fmt.Errorf("anybody on this machine can write %s", name)
		}
		return err
	}
	for name := program; ; name = filepath.Dir(name) {
		if err := look(name); err != nil {
			return err
		}
		if name == root {
			break
		}
	}
	return filepath.WalkDir(program, func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return look(name)
	})
}

// sum is the SHA-256 of a file. Of a folder it is that of the list of its files, sorted by name, each a line as sha256sum
// writes it ("<sum>  ./<path>"); a link that stays inside has the line "link  ./<path>  <where to>".
func sum(program string, whole bool) (string, error) {
	h := sha256.New()
	if !whole {
		if _, err := pour(h, program); err != nil {
			return "", err
		}
		return hex.EncodeToString(h.Sum(nil)), nil
	}
	files, bytes := 0, int64(0)
	var walk func(dir, rel string) error
	walk = func(dir, rel string) error {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			name, path := filepath.Join(dir, e.Name()), rel+"/"+e.Name()
			if files++; files > maxFiles || bytes > maxBytes {
				return fmt.Errorf("%s has more than %d files or %d bytes: a plugin is a program and what it needs", program, maxFiles, maxBytes)
			}
			switch {
			case e.IsDir():
				err = walk(name, path)
			case e.Type()&fs.ModeSymlink != 0:
				var to string
				if _, err = within(program, name); err == nil {
					to, err = os.Readlink(name)
				}
				fmt.Fprintf(h, "link  %s  %s\n", path, to)
			case e.Type().IsRegular():
				one := sha256.New()
				var n int64
				n, err = pour(one, name)
				bytes += n
				fmt.Fprintf(h, "%x  %s\n", one.Sum(nil), path)
			default:
				err = fmt.Errorf("%s is neither file nor folder", name)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	if err := walk(program, "."); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func pour(h hash.Hash, name string) (int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return io.Copy(h, f)
}
