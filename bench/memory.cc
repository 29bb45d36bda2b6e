#include "bench/memory.h"

#include <malloc.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <vector>

namespace p11ha::bench {
namespace {

std::size_t allocated() {
  const auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

std::size_t resident() {
  std::size_t whole = 0;
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> whole >> pages;
  return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

base::Result<Memory, std::string> measureMemory(std::span<const Token::Spec> specs) {
  Memory memory;
  const std::size_t allocatedBefore = allocated();
  const std::size_t residentBefore = resident();
  std::vector<std::unique_ptr<Token>> tokens;
  for (const Token::Spec& spec : specs) {
    auto token = Token::open(spec);
    if (!token) return base::Failure{token.error()};
    const auto handles = (*token)->list();
    if (!handles) return base::Failure{handles.error()};
    memory.objects += handles->size();
    tokens.push_back(std::move(*token));
  }
  memory.allocated = allocated() - allocatedBefore;
  memory.resident = resident() - residentBefore;
  return memory;
}

}  // namespace p11ha::bench
