// Values in memory that is whatever the application made it: not always aligned, and of no type the compiler knows.
#pragma once

#include <cstring>

namespace p11ha::cryptoki {

template <class T>
T load(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class T>
void store(void* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

}  // namespace p11ha::cryptoki
