// From an Event to its line: "Message Format" and "HA Log Messages" of the reference. Pure but for localTime().
#pragma once

#include <sys/types.h>

#include <ctime>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "halog/event.h"

namespace p11ha::halog {

/// The wall clock in the process's time zone (TZ), to the second. Any thread.
std::tm localTime(base::Wall wall);

/// `Wed Oct  4 16:29:21 2017 : [17469] HA group: 11234840370164 `, which all lines of one second, process and group
/// begin with. The time is ctime's, without its newline and in English whatever the locale. Any thread; may throw
/// std::bad_alloc, as all below.
std::string lineHead(std::string_view groupSerial, pid_t pid, const std::tm& local);

/// The message alone, without prefix and newline.
std::string message(const Event& event);

/// Appends a whole line, newline included, to `out`: `<lineHead><message>`. Whatever the fields hold, it is exactly one
/// line.
void appendLine(std::string& out, const Event& event, std::string_view lineHead);

/// That line by itself.
std::string line(const Event& event, std::string_view groupSerial, pid_t pid, const std::tm& local);

}  // namespace p11ha::halog
