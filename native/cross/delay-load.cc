// Windows: the addon's import of node.exe is bound at the first call, to the program that has loaded the addon,
// whatever its name (Electron, Bun, a renamed node.exe).
#include <windows.h>

#include <cstring>
#include <delayimp.h>

static FARPROC WINAPI loadHost(unsigned event, DelayLoadInfo *info) {
  if (event == dliStartProcessing) {
    // zig's linker has put the table of bound addresses, which is about to be written, among constants.
    DWORD before;
    VirtualProtect(info->ppfn, sizeof *info->ppfn, PAGE_READWRITE, &before);
  }
  if (event != dliNotePreLoadLibrary || _stricmp(info->szDll, "node.exe") != 0) return nullptr;
  return reinterpret_cast<FARPROC>(GetModuleHandleW(nullptr));
}

extern "C" PfnDliHook __pfnDliNotifyHook2 = loadHost;
