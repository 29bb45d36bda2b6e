// What an event of the supervisor's epoll is about.
#pragma once

#include <cstdint>

namespace p11ha::transport {

enum class Source : std::uint64_t { Tcp = 1, Local, Signals, Unfinished, Worker, Controller, Survey };

/// The number that epoll gives back: the kind in the upper byte, an id below. Pure, as what follows.
inline constexpr unsigned kSourceShift = 56;
inline std::uint64_t keyOf(Source source, std::uint64_t id = 0) {
  return static_cast<std::uint64_t>(source) << kSourceShift | id;
}
inline Source sourceOf(std::uint64_t key) { return static_cast<Source>(key >> kSourceShift); }
inline std::uint64_t idOf(std::uint64_t key) { return key & ((std::uint64_t{1} << kSourceShift) - 1); }

}  // namespace p11ha::transport
