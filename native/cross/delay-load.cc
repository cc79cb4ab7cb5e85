// Windows: the addon's import of node.exe is bound at the first call, to the program that has loaded the addon,
// whatever its name (Electron, Bun, a renamed node.exe).
#include <windows.h>

#include <cstring>
#include <delayimp.h>

static FARPROC WINAPI loadHost(unsigned event, DelayLoadInfo *info) {
  if (event != dliNotePreLoadLibrary || _stricmp(info->szDll, "node.exe") != 0) return nullptr;
  return reinterpret_cast<FARPROC>(GetModuleHandleW(nullptr));
}

extern "C" PfnDliHook __pfnDliNotifyHook2 = loadHost;
