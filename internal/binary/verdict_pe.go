package binary

import (
	"slices"
	"strings"
)

// judgeWindows judges a PE program by its header, the DLLs and the newer functions that it imports.
func judgeWindows(p Platform, i *Info) Verdict {
	if f := i.Floor("windows").Version; CompareVersions(f, p.Version) > 0 {
		return no(OSTooOld, "Windows "+f)
	}
	// https://go.dev/doc/go1.21#windows, https://go.dev/doc/go1.11#ports
	if CompareVersions(p.Version, "10.0") < 0 && goAtLeast(i, "1.21") {
		return no(GoTooNew, i.Go.Version)
	}
	atStart := *i
	atStart.Libraries = slices.DeleteFunc(slices.Clone(i.Libraries), func(l Library) bool { return l.Delayed })
	if missing := missingDLLs(&atStart, p.Version); len(missing) > 0 {
		return no(DLLMissing, strings.Join(missing, ", "))
	}
	if f := newerFunction(i, p.Version); f != "" {
		return no(FunctionMissing, f)
	}
	if i.DotNet != "" {
		return Verdict{Runs: RunsIf, Reason: DotNetMissing, Detail: i.DotNet}
	}
	if missing := append(missingDLLs(i, p.Version), featureDLLs(p, i)...); len(missing) > 0 { // some of them on first use, which may never be
		return Verdict{Runs: RunsIf, Reason: LibraryMissing, Detail: strings.Join(missing, ", ")}
	}
	var ucrt []string
	for _, l := range i.Libraries {
		if isUCRT(l.Name) {
			ucrt = append(ucrt, l.Name)
		}
	}
	if len(ucrt) > 0 && CompareVersions(p.Version, "10.0") < 0 {
		return Verdict{Runs: RunsIf, Reason: UCRTMissing, Detail: strings.Join(ucrt, ", ")}
	}
	return yes()
}

// missingDLLs are the DLLs that i asks for and a plain Windows of the version does not have. UCRT is another matter.
func missingDLLs(i *Info, version string) []string {
	var missing []string
	for _, l := range i.Libraries {
		since, ok := dllSince(l.Name)
		if !isUCRT(l.Name) && (!ok || CompareVersions(since, version) > 0) {
			missing = append(missing, l.Name)
		}
	}
	slices.Sort(missing)
	return slices.Compact(missing)
}

// featureDLLs are those that i asks for and that a Windows Server only has with a feature that is off by itself: Media
// Foundation and the Wireless LAN Service (https://learn.microsoft.com/windows-server/administration/server-core/server-core-roles-and-services).
func featureDLLs(p Platform, i *Info) []string {
	var list []string
	for _, l := range i.Libraries {
		base := strings.TrimSuffix(strings.ToLower(l.Name), ".dll")
		if p.Family == "Windows Server" && !l.Delayed && slices.Contains([]string{"mf", "mfplat", "mfreadwrite", "wlanapi"}, base) {
			list = append(list, l.Name)
		}
	}
	return list
}

// isUCRT reports whether a DLL belongs to the Universal C Runtime: part of Windows since 10, an update before
// (https://learn.microsoft.com/cpp/windows/universal-crt-deployment).
func isUCRT(name string) bool {
	name = strings.ToLower(name)
	return name == "ucrtbase.dll" || strings.HasPrefix(name, "api-ms-win-crt-")
}

// dllSince is the version of Windows in which a DLL is part of every installation that has a desktop, and false for one that
// is not. API sets (https://learn.microsoft.com/windows/win32/apiindex/windows-apisets) are names without files; that of
// Windows 7 is the oldest.
func dllSince(name string) (string, bool) {
	name = strings.ToLower(name)
	if !strings.Contains(name, ".") {
		name += ".dll"
	}
	if strings.HasPrefix(name, "api-ms-win-") || strings.HasPrefix(name, "ext-ms-win-") {
		set := strings.TrimSuffix(name, ".dll")
		if slices.Contains(strings.Fields(apiSets7), set) {
			return "6.1", true
		}
		if slices.Contains(strings.Fields(apiSets8), set) {
			return "6.2", true
		}
		return "10.0", true
	}
	base := strings.TrimSuffix(name, ".dll")
	if slices.Contains(strings.Fields(dlls7), base) || slices.Contains(strings.Fields(dlls7Other), name) {
		return "6.1", true
	}
	if slices.Contains(strings.Fields(dlls8), base) {
		return "6.2", true
	}
	if base == "d3dcompiler_47" {
		return "6.3", true
	}
	if slices.Contains(strings.Fields(dlls10), base) {
		return "10.0", true
	}
	return "", false
}

// The DLLs of a plain Windows that programs ask for by name: "Requirements, DLL" on the pages of the functions in
// https://learn.microsoft.com/windows/win32/api. msvcrt is the old C runtime, which is part of the system; msvcp140,
// vcruntime140 and the like come with Visual C++, libwinpthread-1, libgcc_s_* and libstdc++-6 with MinGW, and
// are none of these.
const (
	dlls7 = `activeds advapi32 advpack apphelp atl authz avicap32 avifil32 avrt bcrypt bcryptprimitives bthprops cabinet certcli cfgmgr32 clbcatq clusapi
		comctl32 comdlg32 compstui comsvcs credui crtdll crypt32 cryptbase cryptdll cryptnet cryptsp cryptui cryptxml cscapi d2d1 d3d8 d3d9 d3d10 d3d10_1 d3d11 davclnt dbgeng dbghelp
		ddraw devmgr dhcpcsvc dhcpcsvc6 dinput dinput8 dnsapi drt dsound dsrole dui70 dwmapi dwrite dxgi dxva2 elscore esent evr faultrep
		fltlib fwpuclnt gdi32 gdiplus glu32 gpapi gpedit hid hlink httpapi icmp ieframe imagehlp imm32 inetcomm iphlpapi jsproxy kernel32 kernelbase ksuser
		ktmw32 loadperf logoncli lz32 magnification mapi32 mf mfc42 mfc42u mfplat mfreadwrite mgmtapi mmdevapi mpr mprapi mqrt msacm32 mscms msctf msdmo msdrm msftedit msi msimg32 msls31 mspatcha
		msvbvm60 msvcirt msvcp60 msvcrt msvfw32 mswsock msxml3 msxml6 ncrypt ndfapi netapi32 netutils newdev ninput normaliz nsi ntdll ntdsapi ntlanman ntmarta odbc32
		odbccp32 ole32 oleacc oleaut32 oledlg olepro32 opengl32 p2p pdh powrprof prntvpt profapi propsys psapi quartz qwave rasapi32 rasdlg resutils
		riched20 riched32 rpcns4 rpcrt4 rstrtmgr rtm rtutils samcli samlib schannel sechost secur32 security sensapi setupapi sfc sfc_os
		shell32 shfolder shlwapi slc slwga snmpapi spoolss srclient srvcli sspicli sti sxs t2embed tapi32 tbs tdh traffic uiautomationcore urlmon user32 userenv
		usp10 uxtheme vdmdbg vaultcli version virtdisk vssapi wdsclientapi webservices wecapi wer wevtapi wiaservc winbio windowscodecs windowscodecsext winhttp
		wininet winmm winscard winspool winsta wintrust winusb wkscli wlanapi wldap32 wmi wmvcore wow64 ws2_32 wscapi wsock32 wsdapi wtsapi32
		xinput9_1_0 xmllite xolehlp xpsprint`
	dlls7Other = `winspool.drv mscoree.dll msscript.ocx wdmaud.drv bthprops.cpl hhctrl.ocx
		ntoskrnl.exe hal.dll win32k.sys ndis.sys fltmgr.sys wdfldr.sys storport.sys scsiport.sys usbd.sys hidparse.sys hidclass.sys videoprt.sys
		ks.sys portcls.sys cng.sys netio.sys tdi.sys clfs.sys ksecdd.sys watchdog.sys wmilib.sys bootvid.dll kdcom.dll` // of drivers
	dlls8  = `combase mfsrcsnk shcore xaudio2_8 xinput1_4 bcp47langs bluetoothapis dcomp wcmapi wlidprov`
	dlls10 = `computecore computenetwork d3d12 icu icuin icuuc dxcore webauthn wofutil windows.storage windows.ui
		windowsapp projectedfslib virtualdiskapi wldp winhvplatform xaudio2_9 onecore onecoreuap directml
		coremessaging msvcp_win win32u wintypes`
	// What Windows 8 added; an update has some of them for 7, those that the Universal C Runtime needs.
	apiSets8 = `api-ms-win-core-com-l1-1-0 api-ms-win-core-file-l1-2-0 api-ms-win-core-file-l2-1-0 api-ms-win-core-localization-l1-2-0
		api-ms-win-core-path-l1-1-0 api-ms-win-core-processthreads-l1-1-1 api-ms-win-core-registry-l1-1-0 api-ms-win-core-synch-l1-2-0
		api-ms-win-core-sysinfo-l1-2-0 api-ms-win-core-timezone-l1-1-0 api-ms-win-core-winrt-error-l1-1-0 api-ms-win-core-winrt-l1-1-0
		api-ms-win-core-winrt-string-l1-1-0`
	apiSets7 = `api-ms-win-core-console-l1-1-0 api-ms-win-core-datetime-l1-1-0 api-ms-win-core-debug-l1-1-0 api-ms-win-core-delayload-l1-1-0
		api-ms-win-core-errorhandling-l1-1-0 api-ms-win-core-fibers-l1-1-0 api-ms-win-core-file-l1-1-0 api-ms-win-core-handle-l1-1-0
		api-ms-win-core-heap-l1-1-0 api-ms-win-core-interlocked-l1-1-0 api-ms-win-core-io-l1-1-0 api-ms-win-core-libraryloader-l1-1-0
		api-ms-win-core-localization-l1-1-0 api-ms-win-core-localregistry-l1-1-0 api-ms-win-core-memory-l1-1-0 api-ms-win-core-misc-l1-1-0
		api-ms-win-core-namedpipe-l1-1-0 api-ms-win-core-processenvironment-l1-1-0 api-ms-win-core-processthreads-l1-1-0
		api-ms-win-core-profile-l1-1-0 api-ms-win-core-rtlsupport-l1-1-0 api-ms-win-core-string-l1-1-0 api-ms-win-core-synch-l1-1-0
		api-ms-win-core-sysinfo-l1-1-0 api-ms-win-core-threadpool-l1-1-0 api-ms-win-core-util-l1-1-0 api-ms-win-core-xstate-l1-1-0
		api-ms-win-security-base-l1-1-0 api-ms-win-service-core-l1-1-0 api-ms-win-service-management-l1-1-0 api-ms-win-service-winsvc-l1-1-0`
)

// newerFunctions are functions that programs import by name and an older Windows lacks: "Minimum supported client" on their
// pages in https://learn.microsoft.com/windows/win32/api. DLLs that are newer as a whole are above.
func newerFunctions() map[string]string {
	return map[string]string{
		"GetSystemTimePreciseAsFileTime": "6.2", "WaitOnAddress": "6.2", "WakeByAddressSingle": "6.2", "WakeByAddressAll": "6.2",
		"CreateFile2": "6.2", "CopyFile2": "6.2", "GetCurrentThreadStackLimits": "6.2", "GetProcessMitigationPolicy": "6.2",
		"SetProcessMitigationPolicy": "6.2", "PrefetchVirtualMemory": "6.2", "GetOverlappedResultEx": "6.2", "LoadPackagedLibrary": "6.2",
		"GetAddrInfoExCancel": "6.2", "AddDllDirectory": "6.2", "SetDefaultDllDirectories": "6.2", "RemoveDllDirectory": "6.2", // 7 has them by update
		"DiscardVirtualMemory": "6.3", "OfferVirtualMemory": "6.3", "ReclaimVirtualMemory": "6.3", "GetDpiForMonitor": "6.3", "SetProcessDpiAwareness": "6.3",
		"SetThreadDescription": "10.0", "GetThreadDescription": "10.0", "VirtualAlloc2": "10.0", "MapViewOfFile3": "10.0", "GetDpiForWindow": "10.0",
		"GetDpiForSystem": "10.0", "SetProcessDpiAwarenessContext": "10.0", "CreatePseudoConsole": "10.0", "ResizePseudoConsole": "10.0",
		"ClosePseudoConsole": "10.0", "IsWow64Process2": "10.0", "GetTempPath2W": "10.0", "ProcessPrng": "6.2", "EventSetInformation": "6.2",
	}
}

// newerFunction is the first function that i imports and a Windows of the version lacks.
func newerFunction(i *Info, version string) string {
	newer := newerFunctions()
	for _, l := range i.Libraries {
		if l.Delayed {
			continue // it is looked for on first use, which may never be
		}
		for _, s := range l.Symbols {
			if since := newer[s]; since != "" && CompareVersions(since, version) > 0 {
				return l.Name + "!" + s
			}
		}
	}
	return ""
}

// windowsFloor is the oldest Windows that i can run on, by its header, its architecture, its Go release, and what it imports
// of what is part of some Windows; and what asks for it, where that is an import.
func windowsFloor(i *Info) (version, asks string) {
	version = i.Floor("windows").Version
	raise := func(to, by string) {
		if CompareVersions(to, version) > 0 {
			version, asks = to, by
		}
	}
	if goAtLeast(i, "1.21") || i.Arch == "arm64" || i.Arch == "arm" {
		raise("10.0", "")
	}
	newer := newerFunctions()
	for _, l := range i.Libraries {
		if since, known := dllSince(l.Name); known {
			raise(since, l.Name)
		}
		if isUCRT(l.Name) {
			raise("10.0", l.Name)
		}
		for _, s := range l.Symbols {
			if since := newer[s]; since != "" && !l.Delayed {
				raise(since, l.Name+"!"+s)
			}
		}
	}
	return version, asks
}

// judgeDarwin judges a Mach-O program.
func judgeDarwin(p Platform, i *Info) Verdict {
	if f := i.Floor("macos").Version; CompareVersions(f, p.Version) > 0 {
		return no(OSTooOld, "macOS "+f)
	}
	if CompareVersions(goMacOS(i), p.Version) > 0 {
		return no(GoTooNew, i.Go.Version)
	}
	if i.Arch == "arm64" && i.Kind == Executable && i.Hardening.Signed != nil && !*i.Hardening.Signed {
		return no(NotSigned, "")
	}
	if slices.Contains(p.foreign, i.Arch) {
		return Verdict{Runs: RunsIf, Reason: NeedsRosetta}
	}
	atStart := *i
	atStart.Libraries = slices.DeleteFunc(slices.Clone(i.Libraries), func(l Library) bool { return l.Optional })
	if missing := foreignDylibs(&atStart); len(missing) > 0 {
		return Verdict{Runs: RunsIf, Reason: LibraryMissing, Detail: strings.Join(missing, ", ")}
	}
	return yes()
}

// goMacOS is the oldest macOS on which what this Go makes runs: "Ports, Darwin" in https://go.dev/doc/go1.N.
func goMacOS(i *Info) string {
	if i.Go == nil {
		return ""
	}
	for _, r := range [][2]string{{"1.27", "13"}, {"1.25", "12"}, {"1.23", "11"}, {"1.21", "10.15"}, {"1.17", "10.13"}} {
		if goAtLeast(i, r[0]) {
			return r[1]
		}
	}
	return ""
}

// foreignDylibs are the libraries that macOS itself does not bring. Its own are below these two folders, of which newer
// releases have the contents in the cache of the dynamic linker.
func foreignDylibs(i *Info) []string {
	var list []string
	for _, l := range i.Libraries {
		if !strings.HasPrefix(l.Name, "/usr/lib/") && !strings.HasPrefix(l.Name, "/System/Library/") {
			list = append(list, l.Name)
		}
	}
	return list
}
