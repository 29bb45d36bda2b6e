// Configuration files as the tests write them, and what is said about them.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "config/settings.h"

namespace p11ha::config::test {

using Lines = std::vector<std::string>;

inline Settings readText(const std::string& text) { return read(Document::parse(text, "f")); }

inline Lines linesOf(const Settings& settings) {
  Lines lines;
  for (const auto& each : settings.diagnostics) {
    lines.push_back((each.severity == Severity::Error ? "E " : "W ") + each.format());
  }
  return lines;
}

inline Lines complaints(const std::string& text) { return linesOf(readText(text)); }

inline std::string section(const std::string& name, const std::string& lines) {
  return name + " = {\n" + lines + "}\n";
}

inline std::string group(const std::string& nn, const std::string& label, const std::string& serial,
                         const std::string& members) {
  return "VirtualToken" + nn + "Label = " + label + ";\nVirtualToken" + nn + "SN = " + serial + ";\nVirtualToken" + nn +
         "Members = " + members + ";\n";
}

}  // namespace p11ha::config::test
