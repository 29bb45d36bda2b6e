// What whoever runs the application is to see.
#pragma once

#include <cstdio>
#include <string>

namespace p11ha::pkcs11 {

/// A line on standard error. Any thread.
inline void complain(const std::string& line) { std::fprintf(stderr, "p11ha: %s\n", line.c_str()); }

}  // namespace p11ha::pkcs11
