// ncurses (Debian: libncurses-dev). What Swift cannot import: global variables that are set late, macros, wide-character cells.
#ifndef WAFER_CNCURSES_H
#define WAFER_CNCURSES_H

#define NCURSES_WIDECHAR 1
#define NCURSES_NOMACROS 1
#include <curses.h>
#include <locale.h>
#include <stdio.h>

static inline void *wafer_curses_open(const char *terminal, int descriptor) {
    FILE *file = fdopen(descriptor, "r+");
    return file ? newterm(terminal, file, file) : NULL;
}
static inline void wafer_curses_utf8(int on) { setlocale(LC_CTYPE, on ? "C.UTF-8" : "C"); }
static inline int wafer_curses_style(unsigned attributes, short pair) { return wattr_set(stdscr, attributes, pair, NULL); }
static inline int wafer_curses_move(int y, int x) { return wmove(stdscr, y, x); }
static inline int wafer_curses_put(wchar_t character) { return waddnwstr(stdscr, &character, 1); }
// A line of the terminal's own set, by its letter on the VT100; ASCII where there is none.
static inline int wafer_curses_line(char letter) { return wadd_wch(stdscr, &_nc_wacs[(unsigned char)letter]); }
static inline void wafer_curses_show(int repaint) {
    if (repaint) clearok(stdscr, TRUE);
    wnoutrefresh(stdscr);
    doupdate();
}
static inline int wafer_curses_colors(void) { return COLORS; }
static inline int wafer_curses_columns(void) { return COLS; }
static inline int wafer_curses_rows(void) { return LINES; }
static inline void wafer_curses_free(void *screen) { delscreen((SCREEN *)screen); }

enum : unsigned {
    WAFER_CURSES_BOLD = A_BOLD,
    WAFER_CURSES_REVERSE = A_REVERSE,
    WAFER_CURSES_UNDERLINE = A_UNDERLINE,
    WAFER_CURSES_DIM = A_DIM,
};

#endif
