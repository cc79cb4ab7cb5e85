// What Debian's libstdc++ and libgcc want of glibc and musl has not, so that Bun for musl runs where there is no C++
// library for musl. Stands in for glibc's loader, which they name.
#include <stddef.h>
#include <stdint.h>
#include <sys/random.h>
#include <time.h>

char __libc_single_threaded = 0;
unsigned __cpu_model[4];

int __cpu_indicator_init(void) {
  return 0;
}
// "Not found": the unwinder then walks the list of libraries.
int _dl_find_object(void *address, void *result) {
  (void)address, (void)result;
  return -1;
}
// Destructors of a thread's variables are left out.
int __cxa_thread_atexit_impl(void (*destroy)(void *), void *object, void *library) {
  (void)destroy, (void)object, (void)library;
  return 0;
}
uint32_t arc4random(void) {
  uint32_t number = 0;
  while (getrandom(&number, sizeof number, 0) != sizeof number) {
  }
  return number;
}
size_t __strftime_l(char *text, size_t size, const char *format, const struct tm *time, locale_t locale) {
  return strftime_l(text, size, format, time, locale);
}
