package binary

import "debug/elf"

// elfSymbols is what the table of symbols tells; programs run without it, and stripped ones have none.
type elfSymbols struct {
	present bool
	libc    string // whose parts are in the file
	canary  bool
}

// staticSymbols goes through the table of symbols for the few that tell something.
func (f *elfFile) staticSymbols() elfSymbols {
	var found elfSymbols
	for _, s := range f.sections {
		if s.kind != elf.SHT_SYMTAB || uint64(s.link) >= uint64(len(f.sections)) || found.present {
			continue
		}
		found.present = true
		names, size := f.sections[s.link], uint64(16)
		if f.wide {
			size = 24
		}
		_ = f.each("the table of symbols", s.off, size, min(s.size/size, maxSymbols), func(_ uint64, r record) bool {
			name, _, err := f.text(names.off+uint64(r.u32(0)), names.off+names.size, 32)
			if err != nil {
				return false
			}
			switch name {
			case "__stack_chk_fail", "__stack_chk_fail_local":
				found.canary = true
			case "__init_libc", "__libc_start_init", "__musl_secondary": // musl's own
				found.libc = "musl"
			case "_IO_2_1_stdout_", "__libc_setup_tls", "_dl_relocate_static_pie":
				if found.libc == "" {
					found.libc = "gnu"
				}
			case "__uClibc_main":
				found.libc = "uclibc"
			case "__libc_init", "__libc_preinit_impl":
				if found.libc == "" {
					found.libc = "bionic"
				}
			}
			return true
		})
	}
	return found
}

func (f *elfFile) harden(symbols elfSymbols) {
	h, d := &f.info.Hardening, &f.dynamic
	h.Stripped = new(!symbols.present)
	if f.info.Kind == Executable {
		h.PIE = new(f.kind == elf.ET_DYN)
	}
	now := d.bindNow || d.flags&elf.DF_BIND_NOW != 0 || d.flags1&elf.DF_1_NOW != 0
	h.RELRO = "none"
	writable := d.textRel || d.flags&elf.DF_TEXTREL != 0
	for _, s := range f.segments {
		switch s.kind {
		case elf.PT_GNU_RELRO:
			h.RELRO = "partial"
			if now {
				h.RELRO = "full"
			}
		case elf.PT_GNU_STACK:
			h.NX = new(s.flags&elf.PF_X == 0)
		case elf.PT_LOAD:
			writable = writable || s.flags&(elf.PF_W|elf.PF_X) == elf.PF_W|elf.PF_X
		}
	}
	if h.NX == nil && (f.info.OS == "linux" || f.info.OS == "android") {
		h.NX = new(false) // without a word on it the stack is executable
	}
	h.TextWrite = new(writable)
	switch {
	case d.imports:
		h.Canary = new(d.canary || symbols.canary)
	case symbols.present && !symbols.canary:
		h.Canary = new(false) // where it is there, it may only be the C library that has it
	}
}
