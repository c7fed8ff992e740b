package faultdisk

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// ErrUnavailable says that this machine lets nobody mount a file system of their own.
var ErrUnavailable = errors.New("no FUSE here: /dev/fuse is missing, or may not be used (root can)")

// Mount shows the disk as an existing, empty folder. The process that mounts must not use what it mounts: a page fault in it would wait for itself.
func (d *Disk) Mount(folder string) (unmount func() error, err error) {
	if _, err := os.Stat("/dev/fuse"); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	moment := time.Second
	server, err := fs.Mount(folder, &folderNode{disk: d}, &fs.Options{
		EntryTimeout: &moment, AttrTimeout: &moment,
		MountOptions: fuse.MountOptions{DirectMount: true, FsName: "faultdisk", Name: "faultdisk", MaxWrite: 1 << 20},
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return func() error {
		if err := server.Unmount(); err != nil {
			return syscall.Unmount(folder, syscall.MNT_DETACH) // somebody who is dying still has a file open
		}
		return nil
	}, nil
}

// folderNode is the one folder.
type folderNode struct {
	fs.Inode
	disk *Disk
}

var (
	_ fs.NodeOnAdder  = (*folderNode)(nil)
	_ fs.NodeCreater  = (*folderNode)(nil)
	_ fs.NodeUnlinker = (*folderNode)(nil)
	_ fs.NodeRenamer  = (*folderNode)(nil)
	_ fs.NodeFsyncer  = (*folderNode)(nil)
	_ fs.NodeStatfser = (*folderNode)(nil)

	_ fs.NodeOpener    = (*fileNode)(nil)
	_ fs.NodeReader    = (*fileNode)(nil)
	_ fs.NodeWriter    = (*fileNode)(nil)
	_ fs.NodeFsyncer   = (*fileNode)(nil)
	_ fs.NodeGetattrer = (*fileNode)(nil)
	_ fs.NodeSetattrer = (*fileNode)(nil)
)

// OnAdd puts the files that the disk was made with into the folder.
func (n *folderNode) OnAdd(ctx context.Context) {
	for name, f := range n.disk.files {
		f.open = &fileNode{disk: n.disk, file: f}
		n.AddChild(name, n.NewPersistentInode(ctx, f.open, fs.StableAttr{Mode: fuse.S_IFREG}), true)
	}
}

func (n *folderNode) Create(ctx context.Context, name string, _, _ uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	d := n.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if v := d.judge(Op{Kind: Create, Name: name}); v.Errno != 0 {
		return nil, nil, 0, v.Errno
	}
	f := &file{name: name, dirty: map[int64]bool{}}
	f.open = &fileNode{disk: d, file: f}
	d.files[name] = f
	f.open.attr(&out.Attr)
	return n.NewPersistentInode(ctx, f.open, fs.StableAttr{Mode: fuse.S_IFREG}), &handle{}, 0, 0
}

func (n *folderNode) Unlink(_ context.Context, name string) syscall.Errno {
	d := n.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if v := d.judge(Op{Kind: Remove, Name: name}); v.Errno != 0 {
		return v.Errno
	}
	delete(d.files, name)
	return 0
}

func (n *folderNode) Rename(_ context.Context, name string, _ fs.InodeEmbedder, newName string, _ uint32) syscall.Errno {
	d := n.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if v := d.judge(Op{Kind: Rename, Name: name}); v.Errno != 0 {
		return v.Errno
	}
	f := d.files[name]
	if f == nil {
		return syscall.ENOENT
	}
	delete(d.files, name)
	f.name, d.files[newName] = newName, f
	return 0
}

// Fsync makes the names durable.
func (n *folderNode) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	d := n.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if v := d.judge(Op{Kind: SyncDir}); v.Errno != 0 {
		return v.Errno
	}
	clear(d.durable)
	maps.Copy(d.durable, d.files)
	return 0
}

func (n *folderNode) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	out.Bsize, out.Blocks, out.Bfree, out.Bavail = page, 1<<20, 1<<19, 1<<19
	out.NameLen, out.Frsize = 255, page
	return 0
}

// fileNode is one file.
type fileNode struct {
	fs.Inode
	disk *Disk
	file *file
}

// handle is one open descriptor: how many failed syncs of its file it knows of.
type handle struct{ told int }

func (n *fileNode) attr(out *fuse.Attr) {
	out.Mode, out.Size, out.Nlink = fuse.S_IFREG|0o600, uint64(len(n.file.seen)), 1
	out.Blocks = (out.Size + sector - 1) / sector
}

func (n *fileNode) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	d := n.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	h := &handle{told: n.file.failed}
	if flags&(syscall.O_WRONLY|syscall.O_RDWR) == 0 {
		return h, 0, 0
	}
	return h, 0, d.judge(Op{Kind: Open, Name: n.file.name}).Errno
}

func (n *fileNode) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	n.attr(&out.Attr)
	return 0
}

func (n *fileNode) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	d := n.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if size, set := in.GetSize(); set {
		if v := d.judge(Op{Kind: Truncate, Name: n.file.name, Offset: int64(size)}); v.Errno != 0 { //nolint:gosec // a test's file
			return v.Errno
		}
		n.file.truncate(int64(size)) //nolint:gosec // a test's file
	}
	n.attr(&out.Attr)
	return 0
}

func (n *fileNode) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if n.disk.dead {
		return nil, syscall.EIO
	}
	read := 0
	if off < int64(len(n.file.seen)) {
		read = copy(dest, n.file.seen[off:])
	}
	return fuse.ReadResultData(dest[:read]), 0
}

func (n *fileNode) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	d := n.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.judge(Op{Kind: Write, Name: n.file.name, Offset: off, Len: len(data)})
	if v.Errno != 0 {
		if v.Bytes > 0 {
			n.file.write(data[:min(v.Bytes, len(data))], off)
		}
		return 0, v.Errno
	}
	n.file.write(data, off)
	return uint32(len(data)), 0 //nolint:gosec // MaxWrite at most
}

// Fsync tells each open descriptor once of a sync that failed, as Linux does, whoever called it.
func (n *fileNode) Fsync(_ context.Context, fh fs.FileHandle, _ uint32) syscall.Errno {
	d := n.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.judge(Op{Kind: Sync, Name: n.file.name})
	if !d.dead {
		n.file.sync(v.Errno != 0)
	}
	if h, ok := fh.(*handle); ok && h.told < n.file.failed {
		h.told = n.file.failed
		return syscall.EIO
	}
	return v.Errno
}
