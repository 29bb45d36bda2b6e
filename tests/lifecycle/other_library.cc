// Somebody else's shared object that has something to do at exit.
#include <cstdlib>

extern "C" __attribute__((visibility("default"))) int callAtExit(void (*function)()) { return std::atexit(function); }
